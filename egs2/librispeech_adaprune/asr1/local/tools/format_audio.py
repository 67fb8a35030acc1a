#!/usr/bin/env python3
"""One job of stage 3: bring audio to one format and sampling rate.

A file that has both already stays where it is; the others, and the parts of
recordings that a segments file names, are written to --audio_dir. Every file is
read to its end, so that a damaged one is found here and not in the middle of the
training. Writes wav.scp and utt2num_samples to --audio_dir, too.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
from audio import Recording, read_entry, resample, write_audio
from common import RecipeError, read_table, run_tool, write_table


def cut_segment(
    utterance: str, samples: np.ndarray, rate: int, start: float, end: float
) -> np.ndarray:
    """Cut an utterance out of a recording.

    Args:
        utterance: Its name, for messages.
        samples: The recording.
        rate: Its sampling rate in Hz.
        start: Start in seconds.
        end: End in seconds; negative: the end of the recording.

    Raises:
        RecipeError: The segment is empty or starts after the recording's end.
    """
    # Rounded down as in ESPnet, so that both drivers cut the same samples.
    first = int(start * rate)
    last = len(samples) if end < 0 else min(int(end * rate), len(samples))
    if not 0 <= first < last:
        raise RecipeError(
            f"{utterance}: segment {start}-{end} s is not inside the recording of "
            f"{len(samples) / rate:.2f} s"
        )
    return samples[first:last]


def segments_of(path: Path, names: set[str]) -> dict[str, list[tuple[str, str]]]:
    """Return (utterance, "start end") pairs of the named recordings."""
    found: dict[str, list[tuple[str, str]]] = {}
    for utterance, rest in read_table(path).items():
        fields = rest.split()
        if len(fields) != 3:
            raise RecipeError(f"{path}: {utterance} needs: recording start end")
        if fields[0] in names:
            span = (utterance, f"{fields[1]} {fields[2]}")
            found.setdefault(fields[0], []).append(span)
    return found


def utterances(
    scp: dict[str, str], segments: Path | None
) -> Iterator[tuple[str, Recording]]:
    """Yield the name and the audio of every utterance."""
    spans = segments_of(segments, set(scp)) if segments else {}
    for name, entry in scp.items():
        whole = read_entry(name, entry)
        if segments is None:
            yield name, whole
            continue
        for utterance, span in spans.get(name, []):
            start, end = (float(field) for field in span.split())
            part = cut_segment(utterance, whole.samples, whole.rate, start, end)
            yield utterance, whole._replace(samples=part, path=None)


def can_stay(recording: Recording, kind: str, rate: int) -> bool:
    """Tell whether a recording's file is already as it shall be.

    Args:
        recording: What was read.
        kind: ``"flac"`` or ``"wav"``.
        rate: Hz.
    """
    return (
        recording.path is not None
        and recording.rate == rate
        and recording.path.suffix == f".{kind}"
        and recording.subtype == soundfile.default_subtype(kind.upper())
    )


def main() -> None:
    """Run the job."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scp", type=Path, required=True)
    parser.add_argument("--segments", type=Path)
    parser.add_argument("--audio_dir", type=Path, required=True)
    parser.add_argument("--format", choices=["flac", "wav"], default="flac")
    parser.add_argument("--fs", type=int, required=True, help="Hz")
    args = parser.parse_args()

    paths, counts = [], []
    args.audio_dir.mkdir(parents=True, exist_ok=True)
    for name, recording in utterances(read_table(args.scp), args.segments):
        samples, path = recording.samples, recording.path
        if not can_stay(recording, args.format, args.fs):
            samples = resample(samples, recording.rate, args.fs)
            path = args.audio_dir / f"{name}.{args.format}"
            write_audio(path, samples, args.fs)
        paths.append((name, str(path)))
        counts.append((name, str(len(samples))))
        print(f"utterance {name}", flush=True)
    write_table(args.audio_dir / "utt2num_samples", counts)
    write_table(args.audio_dir / "wav.scp", paths)


if __name__ == "__main__":
    run_tool(main)
