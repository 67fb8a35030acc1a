#!/usr/bin/env python3
"""Scores hypotheses where sclite is not installed, with a table like sclite's.

Alignments are jiwer's (each substitution, deletion and insertion costs one), case
is ignored as sclite does. sclite weighs a substitution 4 against 3, so its split
into the three kinds, and seldom the sum, can differ by a little.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
from dataclasses import astuple, dataclass
from pathlib import Path

import jiwer
from common import RecipeError, replacing, run_tool

_TRN = re.compile(r"^(.*?)\s*\(([^()]+)\)\s*$")
_RULE = "|" + "-" * 74 + "|"


@dataclass
class Counts:
    """Sums over sentences."""

    sentences: int = 0
    words: int = 0
    correct: int = 0
    substituted: int = 0
    deleted: int = 0
    inserted: int = 0
    wrong_sentences: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(a + b for a, b in zip(astuple(self), astuple(other))))

    def percentages(self) -> list[float]:
        """Return Corr, Sub, Del, Ins, Err of the words and S.Err, in per cent."""
        words, sentences = max(self.words, 1), max(self.sentences, 1)
        errors = self.substituted + self.deleted + self.inserted
        parts = (
            self.correct,
            self.substituted,
            self.deleted,
            self.inserted,
            errors,
        )
        return [100 * part / words for part in parts] + [
            100 * self.wrong_sentences / sentences
        ]


def read_trn(path: Path) -> dict[str, str]:
    """Read ``tokens (speaker-utterance)`` lines.

    Raises:
        RecipeError: A line has no name, or a name is there twice.
    """
    sentences: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        found = _TRN.match(line)
        if not found:
            raise RecipeError(f"{path}:{number}: no (speaker-utterance) at the end")
        if found[2] in sentences:
            raise RecipeError(f"{path}:{number}: {found[2]} is there twice")
        sentences[found[2]] = " ".join(found[1].lower().split())
    return sentences


def compare(reference: str, hypothesis: str) -> Counts:
    """Count one sentence's errors."""
    words = len(reference.split())
    if not words:
        extra = len(hypothesis.split())
        return Counts(1, 0, 0, 0, 0, extra, int(extra > 0))
    if not hypothesis:
        return Counts(1, words, 0, 0, words, 0, 1)
    out = jiwer.process_words(reference, hypothesis)
    errors = (out.substitutions, out.deletions, out.insertions)
    return Counts(1, words, out.hits, *errors, int(sum(errors) > 0))


def score(references: dict[str, str], hypotheses: dict[str, str]) -> dict[str, Counts]:
    """Count errors by speaker, the part of a name before its first dash.

    Raises:
        RecipeError: The two do not have the same sentences.
    """
    odd = references.keys() ^ hypotheses.keys()
    if odd:
        raise RecipeError(f"{min(odd)} is not in both the reference and the hypothesis")
    speakers: dict[str, Counts] = {}
    for name, reference in references.items():
        speaker = name.split("-")[0]
        counts = compare(reference, hypotheses[name])
        speakers[speaker] = speakers.get(speaker, Counts()) + counts
    return speakers


def _row(name: str, sentences: object, words: object, shares: list[float]) -> str:
    cells = "  ".join(f"{share:5.1f}" for share in shares)
    return f"| {name:<12} | {sentences:>6} {words:>8} | {cells} |"


def table(speakers: dict[str, Counts]) -> str:
    """Return the summary by speaker in sclite's layout."""
    total = sum(speakers.values(), Counts())
    lines = [
        "  SYSTEM SUMMARY PERCENTAGES by SPEAKER (scored with jiwer, not sclite)",
        "",
        _RULE,
        f"| {'SPKR':<12} | {'# Snt':>6} {'# Wrd':>8} |  Corr    Sub    Del    Ins"
        "    Err  S.Err |",
        _RULE,
    ]
    for name in sorted(speakers):
        counts = speakers[name]
        lines.append(_row(name, counts.sentences, counts.words, counts.percentages()))
    lines += [
        _RULE.replace("-", "="),
        _row("Sum/Avg", total.sentences, total.words, total.percentages()),
        _RULE.replace("-", "="),
    ]
    columns = list(zip(*(counts.percentages() for counts in speakers.values())))
    sizes = [
        [c.sentences for c in speakers.values()],
        [c.words for c in speakers.values()],
    ]
    for label, function in (
        ("Mean", statistics.fmean),
        ("S.D.", lambda values: statistics.stdev(values) if len(values) > 1 else 0.0),
        ("Median", statistics.median),
    ):
        sentences, words = (f"{function(size):.1f}" for size in sizes)
        lines.append(
            _row(label, sentences, words, [function(column) for column in columns])
        )
    return "\n".join([*lines, _RULE, ""])


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ref", type=Path, required=True)
    parser.add_argument("--hyp", type=Path, required=True)
    parser.add_argument("--out", type=Path, help="default: standard output")
    args = parser.parse_args()
    speakers = score(read_trn(args.ref), read_trn(args.hyp))
    if not speakers:
        raise RecipeError(f"{args.ref} has no sentence")
    if args.out is None:
        sys.stdout.write(table(speakers))
        return
    with replacing(args.out) as stream:
        stream.write(table(speakers))


if __name__ == "__main__":
    run_tool(main)
