"""Error rates over the cost of the training: ``python -m benchmarks.tables.cost``.

Reads comparisons of several lengths (``benchmarks.compare --max_epoch``), each in a
directory of its own, and writes cost.md and cost.png: dense and the rows of the section
``equal_cost``, or those of ``--rows``. The cost is counted in MACs and given in passes
that the dense model makes through the training data for as many.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
from pathlib import Path

import yaml

from benchmarks.compare.configs import SETTINGS_FILE
from benchmarks.compare.runs import EQUAL_COST
from benchmarks.files import write_text
from benchmarks.tables.results import Measured, cost, read_results, relative_change
from espnet_adaptive_dropout.bin.command import CommandLine, execute
from espnet_adaptive_dropout.experiments.files import replacing
from espnet_adaptive_dropout.experiments.markdown import table_lines


@dataclasses.dataclass(frozen=True)
class Point:
    """A row of one comparison.

    Args:
        row: the row.
        passes: passes of the dense model for the MACs of its training.
        change: change of the mean word error rate against dense, in percent.
    """

    row: Measured
    passes: float
    change: float | None


def get_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.tables.cost", description=__doc__.splitlines()[0]
    )
    add = parser.add_argument
    add("--exp", type=Path, nargs="+", required=True, help="of the comparisons")
    add("--out", type=Path, required=True, help="directory for the table and the plot")
    add("--rows", metavar="ROW,...", help="rows beside dense; default: all")
    return parser


def main(cmd: CommandLine = None) -> None:
    """Parse ``cmd`` and write."""
    execute("cost", get_parser, write_costs, cmd)


def write_costs(args: argparse.Namespace) -> None:
    """Write the table and the plot.

    Raises:
        ValueError: a comparison has no results of the dense model, or none has a row.
    """
    lengths = [points_of(exp) for exp in args.exp]
    if args.rows is not None:
        chosen = ["dense", *args.rows.split(",")]
        known = {point.row.key for points in lengths for point in points}
        for name in chosen:
            if name not in known:
                raise ValueError(f"--rows {name}: no such row among {sorted(known)}")
        lengths = [[p for p in points if p.row.key in chosen] for points in lengths]
    write_text(args.out / "cost.md", "\n".join(cost_table(lengths)) + "\n")
    plot_costs([point for points in lengths for point in points], args.out)
    print(f"{args.out}/cost.md, cost.png")


def points_of(exp: Path) -> list[Point]:
    """Rows of a comparison whose cost is known, cheapest first."""
    rows = read_results(exp)
    settings = yaml.safe_load((exp / SETTINGS_FILE).read_text(encoding="utf-8"))
    dense = next((row for row in rows if row.key == "dense"), None)
    if dense is None:
        raise ValueError(f"{exp}: the dense model has no result yet")
    points = []
    for row in rows:
        share = cost(row, dense)
        if share is not None and (row is dense or row.section == EQUAL_COST):
            passes = share * settings["max_epoch"]
            points.append(Point(row, passes, relative_change(row, dense)))
    return sorted(points, key=lambda point: (point.passes, point.row.key))


def cost_table(lengths) -> list[str]:
    """All rows, one comparison after the other, as Markdown lines."""
    headings = ["row", "training, in passes of dense", "encoder params"]
    headings += ["WER test [%]", "each seed", "against dense"]
    cells = []
    for points in lengths:
        for point in points:
            digits = point.row.decimals("test")
            rates = point.row.rates("test").values()
            cells.append(
                [
                    point.row.title,
                    f"{point.passes:.1f}",
                    f"{point.row.mean('encoder_params'):,.0f}",
                    point.row.spread("test"),
                    ", ".join(f"{rate:.{digits}f}" for rate in rates),
                    "-" if point.change is None else f"{point.change:+.0f} %",
                ]
            )
    return table_lines(headings, cells, left=(0, 4))


def plot_costs(points: list[Point], out: Path) -> None:
    """Write cost.png: a dot for every seed, a line through the means of a row."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows: dict[str, list[Point]] = {}
    for point in points:
        rows.setdefault(point.row.title, []).append(point)
    figure, panel = plt.subplots(figsize=(7.0, 4.0))
    for number, (title, found) in enumerate(rows.items()):
        colour = f"C{number % 10}"
        for point in found:
            rates = list(point.row.rates("test").values())
            passes = [point.passes] * len(rates)
            panel.plot(passes, rates, "o", color=colour, markersize=4, alpha=0.5)
        means = [statistics.fmean(p.row.rates("test").values()) for p in found]
        passes = [point.passes for point in found]
        panel.plot(passes, means, "_-", color=colour, markersize=12, label=title)
    panel.set_xlabel("cost of the training [passes of the dense model, by MACs]")
    panel.set_ylabel("WER on test [%]")
    panel.set_ylim(bottom=0.0)
    panel.grid(color="0.9")
    panel.legend(fontsize=7, frameon=False)
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)
    figure.tight_layout()
    with replacing(out / "cost.png") as partial:
        figure.savefig(partial, dpi=150, format="png")
    plt.close(figure)


if __name__ == "__main__":
    main()
