#!/usr/bin/env python3
"""Synthesise a speech corpus in LibriSpeech's on-disk form with eSpeak NG."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from synth.build import build
from synth.errors import SynthError
from synth.sizes import SIZES


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    arguments = _parser().parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        print(
            build(arguments.output, arguments.size, arguments.scale, arguments.nj),
            file=sys.stderr,
        )
    except SynthError as error:
        print(f"synthesize_corpus.py: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("synthesize_corpus.py: interrupted, nothing was kept", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="The result does not depend on --nj. Running it again does nothing.",
    )
    parser.add_argument(
        "--size",
        choices=SIZES,
        required=True,
        help="smoke: digits, 15 minutes; toy: 50 words, 2 hours; "
        "toy_test: 2 hours of further test speech like that of toy; "
        "medium: a public-domain book, 40 hours",
    )
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="DIR",
        help="directory that will hold LibriSpeech/",
    )
    parser.add_argument(
        "--scale",
        type=_positive_float,
        default=1.0,
        metavar="X",
        help="factor on the hours of speech (default: 1)",
    )
    parser.add_argument(
        "--nj",
        type=_positive_int,
        default=_cores(),
        metavar="N",
        help="number of processes (default: the number of cores, %(default)s)",
    )
    return parser


def _positive_float(value: str) -> float:
    number = float(value)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{value} is not a positive number")
    return number


def _positive_int(value: str) -> int:
    number = int(value)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{value} is not 1 or more")
    return number


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


if __name__ == "__main__":
    sys.exit(main())
