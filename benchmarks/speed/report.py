"""Writes tables and plots of the speed: ``python -m benchmarks.speed.report``.

Reads the results of ``python -m benchmarks.speed`` and writes RESULTS.md and plots.
Rows without results are left out and named.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.files import write_text
from benchmarks.speed.__main__ import EXP
from benchmarks.speed.encoders import DEFAULT, parse_row, parse_rows
from espnet_adaptive_dropout.bin.command import CommandLine, execute

INTRODUCTION = """# Speed

Every number is a median; ± is the median absolute deviation, brackets are quartiles.
The rows take turns in a random order each round, and ratios are taken within a round,
so that a busy machine slows all of them alike.

Nothing is trained: the weights are ESPnet's initial ones and the features are noise.
The time depends on the widths, which have the shape of a real pruning: the shares that
each block and location kept in a training on the toy corpus (early feed-forward modules
nearly empty, late attention nearly whole), stretched over the depth, with unequal heads
and random units. Torch-Pruning chooses by magnitude; the result runs in the compact
encoder, too, because ESPnet cannot load another one. Utterances have 80
features at a 10 ms hop; those of a batch are of one length. MACs are counted without
padding. "tensors, peak" is what encoding has alive at once
beside weights and inputs; "memory, peak" is what a fresh process grew by in loading and
encoding ten seconds. "file" is of the encoder alone. PyTorch forms are loaded by
ESPnet, with its model around the encoder, int8 from the float file, as
`--quantize_asr_model` does it: that time is counted.
"""


def get_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--exp", type=Path, default=EXP, help="of the measurement: %(default)s")
    add("--out", type=Path, help="directory for tables and plots; default: --exp")
    add(
        "--clock",
        choices=("wall", "cpu"),
        default="wall",
        help="'cpu' (of all threads) where others computed meanwhile",
    )
    return parser


def main(cmd: CommandLine = None) -> None:
    """Parse ``cmd`` and write."""
    execute("speed.report", get_parser, write_tables, cmd)


def write_tables(args: argparse.Namespace) -> None:
    """Write RESULTS.md and the plots.

    Raises:
        ValueError: nothing has been measured.
    """
    from benchmarks.speed.plots import draw
    from benchmarks.speed.store import read_results

    out = args.out or args.exp
    out.mkdir(parents=True, exist_ok=True)
    lines = [INTRODUCTION]
    if args.clock == "cpu":
        lines.append("Times are CPU seconds of all threads of the process.\n")
    for results in read_results(args.exp):
        plots = draw(results, out, args.clock)
        lines += section(results, plots, args.clock)
    write_text(out / "RESULTS.md", "\n".join(lines))
    print(f"{out}/RESULTS.md and plots")


def section(results, plots: list[str], clock: str) -> list[str]:
    """All tables for one device and precision."""
    from benchmarks.speed.aims import aim_lines

    lines = [f"# {results.device}, {results.dtype}", ""]
    for about in results.abouts():
        lines.append("- " + ", ".join(f"{k} {v}" for k, v in about.items()))
    lines += ["", "## Aims", ""]
    if results.reference is not None:
        lines += [f"Encoding: {results.reference}.", ""]
    lines += aim_lines(results, clock)
    lines += _encoding(results, clock)
    lines += _parts(results, clock)
    for name in plots:
        lines += ["", f"![{Path(name).stem}]({name})"]
    for name, why in results.missing.items():
        lines += ["", f"Not measured: `{name}`: {why}"]
    return [*lines, ""]


def _encoding(results, clock: str) -> list[str]:
    from benchmarks.speed.columns import content_lines, matrix_lines

    if results.reference is None:
        return []
    settings = results.settings()
    rows = parse_rows(",".join(DEFAULT))
    names = {name for setting in settings for name in results.forward[setting]}
    names -= {row.name for row in rows}
    rows += tuple(parse_row(name) for name in sorted(names))
    content = dict(setting={}, rows=results.forward[results.reference])
    lines = ["", f"## Encoding, {results.reference}"]
    lines += content_lines("forward", content, rows, clock)
    if len(settings) > 1:
        tables = {
            f"b{s.batch}, {s.seconds:g} s, {s.threads} thr": results.forward[s]
            for s in settings
        }
        lines += ["", "## Encoding in every setting: of stock's time [%]", ""]
        lines += matrix_lines(tables, rows, "ratios", clock)
        lines += ["", "Time [ms]:", "", *matrix_lines(tables, rows, "seconds", clock)]
    widths = {f"width {s.size}": results.forward[s] for s in results.widths()}
    if len(widths) > 1:
        lines += ["", "## Encoders of other widths: of stock's time, and MACs [%]", ""]
        lines += matrix_lines(widths, rows, "both", clock)
    return lines


def _parts(results, clock: str) -> list[str]:
    from benchmarks.speed.columns import content_lines

    rows = parse_rows(",".join(DEFAULT))
    headings = dict(
        load="From file to ready", train="Training step", decode="Recognition"
    )
    lines: list[str] = []
    for part, heading in headings.items():
        for index, content in enumerate(getattr(results, part)):
            if not index:
                lines += ["", f"## {heading}"]
            lines += content_lines(part, content, rows, clock)
    return lines


if __name__ == "__main__":
    main()
