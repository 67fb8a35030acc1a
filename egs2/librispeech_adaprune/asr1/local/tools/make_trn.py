#!/usr/bin/env python3
"""Stage 13: reference and hypothesis files for scoring, one pair for each unit.

Writes OUT/score_{cer,wer,ter}/{ref,hyp}.trn in sclite's form, in the words of
ESPnet's tokenizers: characters, words, and pieces where there is a piece model.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from common import RecipeError, read_table, replacing, run_tool
from espnet2.text.build_tokenizer import build_tokenizer
from espnet2.text.cleaner import TextCleaner


def tokenizers(bpemodel: str, nlsyms: str) -> dict[str, Callable[[str], list[str]]]:
    """Return for each score the function that cuts a line into tokens."""
    symbols = None if nlsyms == "none" else nlsyms
    made = {
        score: build_tokenizer(
            kind,
            non_linguistic_symbols=symbols,
            remove_non_linguistic_symbols=True,
        ).text2tokens
        for score, kind in (("cer", "char"), ("wer", "word"))
    }
    if bpemodel != "none":
        if not Path(bpemodel).is_file():
            raise RecipeError(f"{bpemodel} is missing: run stage 5 first")
        made["ter"] = build_tokenizer("bpe", bpemodel=bpemodel).text2tokens
    return made


def clean(text: dict[str, str], cleaner: str) -> dict[str, str]:
    """Return texts as one of ESPnet's cleaners makes them.

    Raises:
        RecipeError: There is no such cleaner, or its package is not installed.
    """
    try:
        function = TextCleaner(cleaner)
        return {name: function(line) for name, line in text.items()}
    except (RuntimeError, ImportError) as error:
        raise RecipeError(f"text cleaner '{cleaner}': {error}") from None


def write_trn(
    path: Path,
    text: dict[str, str],
    speakers: dict[str, str],
    tokenize: Callable[[str], list[str]],
) -> None:
    """Write ``tokens<TAB>(speaker-utterance)`` lines in the order of the utterances."""
    with replacing(path) as stream:
        for name in sorted(text, key=str.encode):
            tokens = " ".join(tokenize(text[name]))
            stream.write(f"{tokens}\t({speakers[name]}-{name})\n")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--hyp", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--bpemodel", default="none")
    parser.add_argument("--nlsyms", default="none")
    parser.add_argument("--cleaner", default="none")
    parser.add_argument("--hyp_cleaner", default="none")
    args = parser.parse_args()

    speakers = read_table(args.data / "utt2spk")
    texts = {"ref": read_table(args.data / "text"), "hyp": read_table(args.hyp)}
    odd = texts["ref"].keys() ^ texts["hyp"].keys()
    if odd:
        raise RecipeError(
            f"{min(odd)} is not in both {args.data / 'text'} and {args.hyp}: run "
            "stage 12 again"
        )
    cleaners = {"ref": args.cleaner, "hyp": args.hyp_cleaner}
    for side, text in texts.items():
        if cleaners[side] != "none":
            texts[side] = clean(text, cleaners[side])
    for score, tokenize in tokenizers(args.bpemodel, args.nlsyms).items():
        for side, text in texts.items():
            path = args.out / f"score_{score}" / f"{side}.trn"
            write_trn(path, text, speakers, tokenize)


if __name__ == "__main__":
    run_tool(main)
