#!/usr/bin/env python3
"""One job of stage 2: copies of utterances spoken faster or slower.

Utterances and speakers get the prefix sp<factor>-, as in Kaldi. Writes FLAC files
to --audio_dir and OUT.scp.
"""

from __future__ import annotations

import argparse
from fractions import Fraction
from pathlib import Path

from audio import change_speed, read_entry, write_audio
from common import RecipeError, read_table, run_tool, write_table


def parse_factor(text: str) -> Fraction:
    """Return a speed factor.

    Raises:
        RecipeError: Not a number between 0.1 and 10.
    """
    try:
        factor = Fraction(text)
    except (ValueError, ZeroDivisionError):
        factor = Fraction(0)
    if not Fraction(1, 10) <= factor <= 10:
        raise RecipeError(f"speed factor '{text}' is not a number from 0.1 to 10")
    return factor


def main() -> None:
    """Run the job."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scp", type=Path, required=True)
    parser.add_argument("--factor", required=True)
    parser.add_argument("--audio_dir", type=Path, required=True)
    parser.add_argument("--out", required=True)
    args = parser.parse_args()

    factor = parse_factor(args.factor)
    args.audio_dir.mkdir(parents=True, exist_ok=True)
    rows = []
    for name, entry in read_table(args.scp).items():
        recording = read_entry(name, entry)
        path = args.audio_dir / f"sp{args.factor}-{name}.flac"
        write_audio(path, change_speed(recording.samples, factor), recording.rate)
        rows.append((f"sp{args.factor}-{name}", str(path)))
        print(f"utterance {name}", flush=True)
    write_table(Path(f"{args.out}.scp"), rows)


if __name__ == "__main__":
    run_tool(main)
