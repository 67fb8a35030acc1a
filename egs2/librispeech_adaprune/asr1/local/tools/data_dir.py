#!/usr/bin/env python3
"""Operations on Kaldi-style data directories that need more than a copy.

data_dir.py prefix  IN OUT --prefix sp0.9-      names for a speed-perturbed copy
data_dir.py combine OUT IN...                   several directories as one
data_dir.py filter  IN OUT --fs 16000 --min 0.1 --max 20   length and empty text
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from common import RecipeError, invert, read_table, replacing, run_tool, write_table

_MERGED = ("wav.scp", "text", "utt2spk", "utt2lang", "spk2gender", "utt2num_samples")
# by utterance or by speaker, copied where they are there
_OPTIONAL = ("utt2uniq", "utt2lang", "spk2gender")


def write_speakers(out: Path, utt2spk: dict[str, str]) -> None:
    """Write utt2spk and spk2utt."""
    write_table(out / "utt2spk", utt2spk.items())
    write_table(out / "spk2utt", invert(utt2spk).items())


def _optional(directory: Path, name: str) -> dict[str, str] | None:
    path = directory / name
    return read_table(path) if path.is_file() else None


def prefix(source: Path, out: Path, mark: str) -> None:
    """Write the tables of a directory, wav.scp aside, with a prefix before all names.

    ``utt2uniq`` tells which utterances are the same words of the same speaker.
    """
    text = read_table(source / "text")
    speakers = read_table(source / "utt2spk")
    write_table(out / "text", [(mark + name, line) for name, line in text.items()])
    write_speakers(out, {mark + name: mark + spk for name, spk in speakers.items()})
    unique = _optional(source, "utt2uniq") or {name: name for name in speakers}
    write_table(out / "utt2uniq", [(mark + name, one) for name, one in unique.items()])
    for name in ("utt2lang", "spk2gender"):
        table = _optional(source, name)
        if table is not None:
            rows = [(mark + key, value) for key, value in table.items()]
            write_table(out / name, rows)


def _combine_unique(out: Path, sources: list[Path]) -> None:
    if not any((source / "utt2uniq").is_file() for source in sources):
        (out / "utt2uniq").unlink(missing_ok=True)
        return
    merged: dict[str, str] = {}
    for source in sources:
        own = {name: name for name in read_table(source / "utt2spk")}
        merged.update(_optional(source, "utt2uniq") or own)
    write_table(out / "utt2uniq", merged.items())


def combine(out: Path, sources: list[Path]) -> None:
    """Write the union of data directories.

    Raises:
        RecipeError: An utterance is in two of them.
    """
    for name in _MERGED:
        if not all((source / name).is_file() for source in sources):
            (out / name).unlink(missing_ok=True)
            continue
        merged: dict[str, str] = {}
        for source in sources:
            table = read_table(source / name)
            twice = merged.keys() & table.keys()
            if twice:
                raise RecipeError(
                    f"{source / name}: {min(twice)} is in another set too"
                )
            merged.update(table)
        write_table(out / name, merged.items())
    write_speakers(out, read_table(out / "utt2spk"))
    _combine_unique(out, sources)


def _filter_optional(source: Path, out: Path) -> None:
    kept = read_table(out / "utt2spk")
    for name in _OPTIONAL:
        table = _optional(source, name)
        if table is None:
            (out / name).unlink(missing_ok=True)
            continue
        names = set(kept.values()) if name == "spk2gender" else kept.keys()
        write_table(out / name, [row for row in table.items() if row[0] in names])


def filter_lengths(source: Path, out: Path, shortest: int, longest: int) -> str:
    """Keep utterances that have a text and whose length lies between two bounds.

    Args:
        source: Directory with wav.scp, utt2num_samples, text and utt2spk.
        out: Directory for the filtered files.
        shortest: Number of samples that must be exceeded.
        longest: Number of samples that must not be reached.

    Returns:
        One line that says how many stayed, and why the others did not.

    Raises:
        RecipeError: Files do not name the same utterances, or none is left.
    """
    samples = read_table(source / "utt2num_samples")
    text = read_table(source / "text")
    tables = {name: read_table(source / name) for name in ("wav.scp", "utt2spk")}
    for name, table in [*tables.items(), ("text", text)]:
        odd = samples.keys() ^ table.keys()
        if odd:
            raise RecipeError(
                f"{source}: {min(odd)} is not in both wav.scp and {name}; mend the "
                "data and run stage 3 again"
            )
    short = {name for name, count in samples.items() if int(count) <= shortest}
    long = {name for name, count in samples.items() if int(count) >= longest}
    empty = {name for name, line in text.items() if not line} - short - long
    kept = samples.keys() - short - long - empty
    if not kept:
        raise RecipeError(f"{source}: no utterance is left; see --max_wav_duration")
    for name, table in [
        *tables.items(),
        ("text", text),
        ("utt2num_samples", samples),
    ]:
        write_table(out / name, [row for row in table.items() if row[0] in kept])
    write_speakers(out, read_table(out / "utt2spk"))
    _filter_optional(source, out)
    with replacing(out / "feats_type") as stream:
        shutil.copyfileobj((source / "feats_type").open(encoding="utf-8"), stream)
    return (
        f"{out}: {len(kept)} of {len(samples)} utterances "
        f"({len(short)} too short, {len(long)} too long, {len(empty)} without text)"
    )


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    sub = commands.add_parser("prefix")
    sub.add_argument("source", type=Path)
    sub.add_argument("out", type=Path)
    sub.add_argument("--prefix", required=True)
    sub = commands.add_parser("combine")
    sub.add_argument("out", type=Path)
    sub.add_argument("sources", type=Path, nargs="+")
    sub = commands.add_parser("filter")
    sub.add_argument("source", type=Path)
    sub.add_argument("out", type=Path)
    sub.add_argument("--fs", type=int, required=True, help="Hz")
    sub.add_argument("--min", type=float, required=True, help="seconds")
    sub.add_argument("--max", type=float, required=True, help="seconds")
    args = parser.parse_args()
    if args.command == "prefix":
        prefix(args.source, args.out, args.prefix)
    elif args.command == "combine":
        combine(args.out, args.sources)
    else:
        bounds = (int(args.min * args.fs), int(args.max * args.fs))
        print(filter_lengths(args.source, args.out, *bounds))


if __name__ == "__main__":
    run_tool(main)
