"""Measures how fast the encoders are: ``python -m benchmarks.speed``.

Takes about a quarter of an hour: two or three minutes to make the models, then
``--minutes``. Results are kept and not measured again without ``--again``;
``python -m benchmarks.speed.report`` writes tables and plots. Run nothing else
meanwhile; on a busy machine use the ratios, with ``--clock cpu``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.speed.choices import (
    DEFAULT,
    GRIDS,
    REFERENCE,
    SIZES,
    Setting,
    chosen_grid,
    named_grid,
    parse_rows,
)
from benchmarks.speed.from_disk import time_decoding, time_loading
from benchmarks.speed.steps import time_forward, time_training
from benchmarks.speed.store import EXP
from benchmarks.speed.tables import content_lines
from benchmarks.speed.timing import DEVICES, DTYPES, Device
from benchmarks.speed.work import Work
from espnet_adaptive_dropout.bin.command import CommandLine, execute

PARTS = {
    "forward": time_forward,
    "load": time_loading,
    "train": time_training,
    "decode": time_decoding,
}


def get_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed", description=__doc__.splitlines()[0]
    )
    add = parser.add_argument
    add("--exp", type=Path, default=EXP, help="results go here: %(default)s")
    add("--rows", default=",".join(DEFAULT), help="what is compared: %(default)s")
    add("--size", choices=SIZES, default=REFERENCE, help="width: %(default)s")
    add("--parts", nargs="+", choices=PARTS, help="default: all")
    add("--grid", choices=GRIDS, default="default", help="settings of the part forward")
    add("--batch", type=int, nargs="+", help="utterances; instead of --grid")
    add("--seconds", type=float, nargs="+", help="of each; instead of --grid")
    add("--threads", nargs="+", help="numbers or 'all'; instead of --grid")
    add("--minutes", type=float, default=12.0, help="for all parts: %(default)s")
    add("--rounds", type=int, default=0, help="of everything, instead of --minutes")
    add("--device", choices=DEVICES, default="cpu")
    add("--dtype", choices=DTYPES, default="float32", help="by autocast")
    add(
        "--clock",
        choices=("wall", "cpu"),
        default="wall",
        help="clock of the printed times",
    )
    add("--again", action="store_true", help="measure also what has a result")
    return parser


def main(cmd: CommandLine = None) -> None:
    """Parse ``cmd`` and measure what has no result yet."""
    execute("speed", get_parser, measure, cmd)


def measure(args: argparse.Namespace) -> None:
    """Measure what has no result yet and print it.

    Raises:
        ValueError: there is no such row or device, or a number is out of range.
    """
    chosen = args.parts or (["forward"] if _given(args) else list(PARTS))
    work = make_work(args)
    if args.again:
        work.forget_files()
    for part in chosen:
        for key in PARTS[part](work):
            content = work.store(part).read(key)
            print("\n".join(content_lines(part, content, work.rows, args.clock)))


def _given(args: argparse.Namespace) -> bool:
    return any((args.batch, args.seconds, args.threads))


def make_work(args: argparse.Namespace) -> Work:
    """The measurements that the options ask for.

    Raises:
        ValueError: see :func:`measure`.
    """
    if args.rounds < 0 or args.minutes <= 0:
        raise ValueError("--rounds and --minutes must be above 0")
    device = dict(device=args.device, dtype=args.dtype)
    settings: list[Setting]
    if _given(args):
        settings = chosen_grid(
            args.size,
            args.batch or [1],
            args.seconds or [10.0],
            args.threads or ["1"],
            **device,
        )
    else:
        settings = named_grid(args.grid, args.size, **device)
    return Work(
        args.exp,
        Device(args.device, args.dtype),
        args.size,
        parse_rows(args.rows),
        tuple(settings),
        60.0 * args.minutes,
        args.rounds,
        args.again,
    )


if __name__ == "__main__":
    main()
