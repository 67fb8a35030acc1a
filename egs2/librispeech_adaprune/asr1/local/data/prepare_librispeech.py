#!/usr/bin/env python3
"""Make Kaldi data directories from a corpus in LibriSpeech's form.

Every subset becomes ``<data_dir>/<subset with underscores>`` with wav.scp, text,
utt2spk, spk2utt and spk2gender; combined sets (train, dev) are merged from those.
Everything is checked and written under temporary names first: when anything is wrong,
one line says so and the data directory stays as it was.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from corpus_table import OFFICIAL, SYNTHESISED, CorpusError, data_set_name, plan_sets
from librispeech_tree import (
    Utterance,
    check_audio,
    find_root,
    find_subsets,
    read_genders,
    read_subset,
)

MARKER = "corpus.txt"
CUSTOM = "custom"


def combine(parts: dict[str, Sequence[Utterance]]) -> list[Utterance]:
    """Merge data sets in the order of their utterance ids in the C locale.

    Args:
        parts: Utterances by subset.

    Raises:
        CorpusError: An utterance is in two of the subsets.
    """
    merged: dict[str, Utterance] = {}
    for subset, utterances in parts.items():
        for utterance in utterances:
            other = merged.setdefault(utterance.utt_id, utterance)
            if other is not utterance:
                raise CorpusError(
                    f"{utterance.audio}: utterance {utterance.utt_id} of {subset} is "
                    f"also in {other.audio}; remove one of the two"
                )
    return [merged[key] for key in sorted(merged)]


def data_files(utterances: Sequence[Utterance]) -> dict[str, str]:
    """Return the five Kaldi files, each sorted by its first column in the C locale.

    Args:
        utterances: In the order of their ids.
    """
    speakers: dict[str, list[Utterance]] = {}
    for utterance in utterances:
        speakers.setdefault(utterance.speaker, []).append(utterance)
    tables = {
        "wav.scp": [f"{u.utt_id} {u.audio}" for u in utterances],
        "text": [f"{u.utt_id} {u.text}" for u in utterances],
        "utt2spk": [f"{u.utt_id} {u.speaker}" for u in utterances],
        "spk2utt": [
            " ".join([speaker] + [u.utt_id for u in speakers[speaker]])
            for speaker in sorted(speakers)
        ],
        "spk2gender": [f"{s} {speakers[s][0].gender}" for s in sorted(speakers)],
    }
    return {
        name: "".join(f"{line}\n" for line in lines) for name, lines in tables.items()
    }


def check_marker(data_dir: Path, corpus: str, root: Path | None) -> None:
    """Refuse a data directory that holds another corpus.

    Args:
        data_dir: May be missing or empty.
        corpus: Name of the corpus. ``custom`` is a user's own tree, known by its
            directory; a corpus with a name may have moved since.
        root: Directory of the corpus, None if it is not there yet.

    Raises:
        CorpusError: It holds another corpus.
    """
    wanted = [corpus, str(root)] if corpus == CUSTOM else [corpus]
    marker = data_dir / MARKER
    if marker.is_file():
        held = marker.read_text(encoding="utf-8").splitlines()
        if held[: len(wanted)] == wanted:
            return
        holds = f"the corpus {' of '.join(held[:2])}"
    elif any(data_dir.glob("*/wav.scp")):
        holds = f"data of an unknown corpus (no {MARKER} in it)"
    else:
        return
    raise CorpusError(
        f"{data_dir} holds {holds}, not {' of '.join(wanted)}: remove {data_dir}, dump "
        "and exp, or run in a copy of the recipe directory without them"
    )


def check_sets(
    wanted: Sequence[str], corpus: str, root: Path | None, data_dir: Path
) -> None:
    """Refuse names of data sets that will not be there.

    Args:
        wanted: Names of data sets, such as ``test_clean``.
        corpus: Name of the corpus.
        root: Directory of the corpus, None if it is not there yet.
        data_dir: The user may have prepared further sets here.

    Raises:
        CorpusError: A set is unknown, or the corpus lacks a subset.
    """
    if root:
        found: Sequence[str] = find_subsets(root)
    else:
        found = OFFICIAL[corpus].subsets if corpus in OFFICIAL else SYNTHESISED
    known = plan_sets(corpus, found)
    for name in wanted:
        if name not in known and not (data_dir / name / "wav.scp").is_file():
            raise CorpusError(
                f"no data set {name} in {corpus}{f' of {root}' if root else ''}; there "
                f"are {', '.join(sorted(known))}"
            )


def prepare(corpus: str, directory: Path, data_dir: Path, nj: int) -> dict[str, str]:
    """Write all data directories of a corpus, or none.

    Args:
        corpus: Name of a corpus of OpenSLR, or another name for all subsets found.
        directory: The tree, or a directory that holds it as LibriSpeech/.
        data_dir: Where the data directories go, usually ``data``.
        nj: Number of audio files checked in parallel.

    Returns:
        A summary by data set.

    Raises:
        CorpusError: Anything wrong with the corpus.
        OSError: Anything wrong with reading or writing, such as a full disk.
    """
    root = find_root(directory)
    check_marker(data_dir, corpus, root)
    plan = plan_sets(corpus, find_subsets(root))
    genders = read_genders(root)
    subsets = dict.fromkeys(name for members in plan.values() for name in members)
    utterances = {name: read_subset(root, name, genders) for name in subsets}
    sets = {
        name: combine({subset: utterances[subset] for subset in members})
        for name, members in plan.items()
    }
    seconds = {s: check_audio(u, nj, data_set_name(s)) for s, u in utterances.items()}
    _install(sets, f"{corpus}\n{root}\n", data_dir)
    return {
        name: f"{len(members)} utterances, {len({u.speaker for u in members})} "
        f"speakers, {_duration(sum(seconds[s] for s in plan[name]))}"
        for name, members in sets.items()
    }


def _duration(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"


def _install(
    sets: dict[str, list[Utterance]], marker_text: str, data_dir: Path
) -> None:
    """Write all changed sets under temporary names, then rename them."""
    changed = {}
    for name, utterances in sets.items():
        files = data_files(utterances)
        if not _is_current(data_dir / name, files):
            changed[name] = files
    data_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".prepare-", dir=data_dir) as scratch:
        new, old = Path(scratch, "new"), Path(scratch, "old")
        old.mkdir()
        for name, files in changed.items():
            (new / name).mkdir(parents=True)
            for file, text in files.items():
                (new / name / file).write_text(text, encoding="utf-8")
        # Before the sets: whatever is in data_dir belongs to the marked corpus.
        marker = Path(scratch, MARKER)
        marker.write_text(marker_text, encoding="utf-8")
        marker.replace(data_dir / MARKER)
        for name in changed:
            if (data_dir / name).exists():
                (data_dir / name).rename(old / name)
            (new / name).rename(data_dir / name)


def _is_current(directory: Path, files: dict[str, str]) -> bool:
    """Return whether a set needs no writing.

    Raises:
        CorpusError: It does, but has files that this program did not write.
    """
    if not directory.exists() and not directory.is_symlink():
        return False
    found = {p.name for p in directory.iterdir()} if directory.is_dir() else set()
    if found >= set(files) and all(
        (directory / name).read_bytes() == text.encode() for name, text in files.items()
    ):
        return True
    others = sorted(found - set(files))
    if directory.is_symlink() or not directory.is_dir() or others:
        what = f"{others[0]} in it" if others else "it"
        raise CorpusError(
            f"{directory}: differs from the corpus, but {what} was not made by this "
            f"recipe; move or remove {directory}"
        )
    return False


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus_dir", default="", help="tree in LibriSpeech's form")
    parser.add_argument(
        "--corpus",
        default=CUSTOM,
        help=f"{', '.join(OFFICIAL)}: the sets of that corpus; any other name: "
        "train and dev from all train-* and dev-*",
    )
    parser.add_argument("--data_dir", type=Path, default=Path("data"))
    parser.add_argument("--nj", type=int, default=4, help="files checked in parallel")
    parser.add_argument(
        "--check",
        action="store_true",
        help="only check that --data_dir is free for this corpus, and --sets",
    )
    parser.add_argument(
        "--sets", default="", help="data sets, by commas, that the corpus must have"
    )
    args = parser.parse_args(argv)
    directory = Path(args.corpus_dir) if args.corpus_dir else None
    try:
        if args.check:
            root = find_root(directory) if directory else None
            check_marker(args.data_dir, args.corpus, root)
            names = filter(None, args.sets.split(","))
            check_sets(list(names), args.corpus, root, args.data_dir)
            return 0
        if directory is None:
            parser.error("--corpus_dir is missing")
        summary = prepare(args.corpus, directory, args.data_dir, args.nj)
    except (CorpusError, OSError) as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{parser.prog}: interrupted, nothing was changed", file=sys.stderr)
        return 130
    for name, line in summary.items():
        print(f"{args.data_dir / name}: {line}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
