#!/usr/bin/env python3
"""Real-time factor of decoding, from the logs of espnet2.bin.asr_inference.

Time counts from an utterance's "speech length" line to its "best hypo" line, so
loading the model is left out; batches count as a whole.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from common import RecipeError, replacing, run_tool

_LINE = re.compile(
    r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}).*INFO: "
    r"(?:(speech length): (\d+)|(best hypo): )"
)


@dataclass
class Timing:
    """Sums over utterances: number, audio seconds, decoding seconds."""

    utterances: int = 0
    audio: float = 0.0
    decoding: float = 0.0

    @property
    def rtf(self) -> float:
        """Decoding seconds per second of audio."""
        return self.decoding / self.audio

    def report(self) -> str:
        """Return the lines that ESPnet's calculate_rtf.py prints."""
        latency = 1000 * self.decoding / self.utterances
        return (
            f"Total audio duration: {self.audio:.3f} [sec]\n"
            f"Total decoding time: {self.decoding:.3f} [sec]\n"
            f"RTF: {self.rtf:.3f}\n"
            f"Latency: {latency:.3f} [ms/sentence]\n"
        )


def read_log(path: Path, rate: int, timing: Timing) -> None:
    """Add one log's utterances.

    Args:
        path: The log.
        rate: Sampling rate in Hz.
        timing: Where to add.

    Raises:
        RecipeError: The log ends within an utterance.
    """
    start = end = None
    opened = closed = 0
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        found = _LINE.search(line)
        if not found:
            continue
        now = datetime.strptime(found[1], "%Y-%m-%d %H:%M:%S,%f").timestamp()
        if found[4]:
            closed += 1
            end = now
            continue
        if start is None or opened == closed:
            timing.decoding += end - start if start is not None else 0.0
            start = now
        opened += 1
        timing.audio += int(found[3]) / rate
    if opened != closed:
        raise RecipeError(f"{path}: {opened} utterances begun, {closed} decoded")
    timing.utterances += opened
    timing.decoding += end - start if start is not None else 0.0


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("logs", type=Path, nargs="+")
    parser.add_argument("--fs", type=int, required=True, help="Hz")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    timing = Timing()
    for path in args.logs:
        read_log(path, args.fs, timing)
    if not timing.utterances:
        raise RecipeError(f"{args.logs[0]}: no decoded utterance in this log")
    with replacing(args.out) as stream:
        stream.write(timing.report())
    print(f"RTF: {timing.rtf:.3f} ({args.out})")


if __name__ == "__main__":
    run_tool(main)
