"""Writes tables and plots of the speed: ``python -m benchmarks.speed.report``.

Reads the results of ``python -m benchmarks.speed`` and writes RESULTS.md and plots.
Rows without results are left out and named.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Callable

from benchmarks.files import write_text
from benchmarks.speed.choices import STOCK
from benchmarks.speed.plots import draw
from benchmarks.speed.store import EXP, Results, Rows, read_results
from benchmarks.speed.tables import encoding_lines, part_lines, ratio, saved_share
from benchmarks.speed.timing import spread
from espnet_adaptive_dropout.bin.command import CommandLine, execute
from espnet_adaptive_dropout.experiments.markdown import table_lines

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


def section(results: Results, plots: list[str], clock: str) -> list[str]:
    """All tables for one device and precision."""
    lines = [f"# {results.device}, {results.dtype}", ""]
    for about in results.abouts():
        lines.append("- " + ", ".join(f"{k} {v}" for k, v in about.items()))
    lines += ["", "## Aims", ""]
    if results.reference is not None:
        lines += [f"Encoding: {results.reference}.", ""]
    lines += aim_lines(results, clock)
    lines += encoding_lines(results, clock)
    lines += part_lines(results, clock)
    for name in plots:
        lines += ["", f"![{Path(name).stem}]({name})"]
    for name, why in results.missing.items():
        lines += ["", f"Not measured: `{name}`: {why}"]
    return [*lines, ""]


@dataclasses.dataclass(frozen=True)
class Aim:
    """Speed that an encoder should reach.

    Args:
        text: the aim in words.
        row: row that shows whether it is reached.
        limit: upper limit, or lower limit if ``at_least``.
        read: gives the value for a row, the stock row and a clock.
        at_least: whether ``limit`` is a lower limit.
        judge: gives the value to compare with the limit; None: ``read``.
    """

    text: str
    row: str
    limit: float
    read: Callable[[dict, dict, str], float]
    at_least: bool = False
    judge: Callable[[dict, dict, str], float] | None = None

    def value(self, rows: Rows, clock: str) -> float | None:
        """The measured value, or None without results."""
        if self.row not in rows or STOCK not in rows:
            return None
        return self.read(rows[self.row], rows[STOCK], clock)

    def reached(self, rows: Rows, clock: str) -> bool:
        """Whether the measured rows reach the aim."""
        value = (self.judge or self.read)(rows[self.row], rows[STOCK], clock)
        return value >= self.limit if self.at_least else value <= self.limit


def _time(row: dict, stock: dict, clock: str) -> float:
    return ratio(row, clock)


def _low(row: dict, stock: dict, clock: str) -> float:
    return spread(row["ratios"][clock])["low"]


def _saved(row: dict, stock: dict, clock: str) -> float:
    return saved_share(row, stock, clock)


def _memory(row: dict, stock: dict, clock: str) -> float:
    return row["peak_bytes"] / stock["peak_bytes"]


def _control(row: dict, stock: dict, clock: str) -> float:
    return row["control_share"][clock]


_NOT_SLOWER = "no slower than stock before pruning (judged by the lower quartile)"
ENCODING = (
    Aim("54 % removed, all locations: time of stock's", "all_54", 0.5, _time),
    Aim(
        "54 % removed, the paper's locations: time saved of MACs saved",
        "paper_54",
        0.9,
        _saved,
        at_least=True,
    ),
    Aim(f"{_NOT_SLOWER}, the paper's locations", "gated", 1.0, _time, judge=_low),
    Aim(f"{_NOT_SLOWER}, all locations", "gated_all", 1.0, _time, judge=_low),
    Aim("dynamic int8, all locations: time of stock's", "all_54_int8", 0.35, _time),
    Aim(
        "dynamic int8, the paper's locations: time of stock's",
        "paper_54_int8",
        0.35,
        _time,
    ),
    Aim("ONNX int8, all locations: time of stock's", "all_54_onnx_int8", 0.35, _time),
)
TRAINING = (
    Aim("training step, all locations: time of stock's", "gated_all", 1.03, _time),
    Aim(
        "training step, all locations: peak memory of stock's",
        "gated_all",
        1.03,
        _memory,
    ),
    Aim("size control: time of stock's training step", "gated_all", 0.005, _control),
)


def aim_lines(results: Results, clock: str) -> list[str]:
    """Markdown table: aim, limit, measured, reached, and the range over settings."""
    reference = results.reference
    tables = [results.forward[s] for s in results.settings() if s != reference]
    first = [results.forward[reference]] if reference else []
    trained = [content["rows"] for content in results.train]
    cells = [_cells(aim, first, tables, clock) for aim in ENCODING]
    cells += [_cells(aim, trained[:1], trained[1:], clock) for aim in TRAINING]
    headings = ["aim", "limit", "measured", "reached", "in the other settings"]
    return table_lines(headings, cells, left=(0, 3, 4))


def _cells(aim: Aim, first: list[Rows], others: list[Rows], clock: str) -> list[str]:
    limit = f"{'≥' if aim.at_least else '≤'} {100 * aim.limit:g} %"
    value = aim.value(first[0], clock) if first else None
    if value is None:
        return [aim.text, limit, "-", "not measured", ""]
    reached = "yes" if aim.reached(first[0], clock) else "**no**"
    return [aim.text, limit, _percent(value), reached, _others(aim, others, clock)]


def _others(aim: Aim, tables: list[Rows], clock: str) -> str:
    there: list[tuple[float, bool]] = [
        (aim.value(rows, clock), aim.reached(rows, clock))
        for rows in tables
        if aim.value(rows, clock) is not None
    ]
    if not there:
        return "-"
    values = [value for value, _ in there]
    reached = sum(is_reached for _, is_reached in there)
    return (
        f"{_percent(min(values))} to {_percent(max(values))}, reached in {reached} "
        f"of {len(there)}"
    )


def _percent(value: float) -> str:
    return f"{100 * value:.2f} %" if value < 0.02 else f"{100 * value:.1f} %"


if __name__ == "__main__":
    main()
