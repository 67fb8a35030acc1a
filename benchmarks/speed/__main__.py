"""Measures how fast the encoders are: ``python -m benchmarks.speed``.

What is measured is kept and not measured again, unless ``--again``; ``python -m
benchmarks.speed.tables`` writes tables and plots of it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import List

from espnet_adaptive_dropout.bin.command import CommandLine, execute

EXP = Path(__file__).resolve().parents[1] / "exp/speed"


def get_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    from benchmarks.speed import rows
    from benchmarks.speed.architecture import REFERENCE, SIZES
    from benchmarks.speed.device import DTYPES

    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--exp", type=Path, default=EXP, help="results go here")
    add("--rows", default=",".join(rows.DEFAULT), help="what is compared")
    add("--size", choices=SIZES, default=REFERENCE, help="width of the encoder")
    add("--batch", type=int, nargs="+", default=[1], help="utterances")
    add("--seconds", type=float, nargs="+", default=[10.0], help="of each")
    add("--threads", type=int, nargs="+", default=[1])
    add("--rounds", type=int, default=7)
    add("--device", default="cpu", help="cpu or cuda")
    add("--dtype", choices=DTYPES, default="float32", help="by autocast")
    add("--again", action="store_true", help="measure what is there again")
    return parser


def main(cmd: CommandLine = None) -> None:
    """Parse ``cmd`` and measure what is missing."""
    execute("speed", get_parser, measure_all, cmd)


def measure_all(args: argparse.Namespace) -> None:
    """Measure and print.

    Raises:
        ValueError: a row, size or device is not there.
    """
    from benchmarks.speed.build import Builder
    from benchmarks.speed.device import Device
    from benchmarks.speed.forms import Forms
    from benchmarks.speed.forward import Effort, Setting, measure
    from benchmarks.speed.rows import STOCK, parse_row, parse_rows
    from benchmarks.speed.show import forward_lines
    from benchmarks.speed.store import Store

    rows = parse_rows(args.rows)
    device = Device(args.device, args.dtype)
    forms = Forms(Builder(args.size), device, args.exp / "forms" / args.size)
    store = Store(args.exp / "forward", args.again)
    settings: List[Setting] = [
        Setting(args.size, batch, seconds, threads, args.device, args.dtype)
        for threads in args.threads
        for batch in args.batch
        for seconds in args.seconds
    ]
    for setting in settings:
        names = store.todo(setting.key, [row.name for row in rows])
        if names:
            chosen = [parse_row(n) for n in dict.fromkeys([STOCK, *names])]
            found, missing = measure(
                forms, setting, chosen, Effort(args.rounds, float("inf"))
            )
            store.add(setting.key, vars(setting), found, missing)
        content = store.read(setting.key)
        print(f"\n{setting}")
        print("\n".join(forward_lines(content, [row.name for row in rows])))


if __name__ == "__main__":
    main()
