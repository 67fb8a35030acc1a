"""Draws size_wer.png from the tables of benchmarks/RESULTS.md.

Run ``python docs/figures/draw.py`` in the repository.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from espnet_adaptive_dropout.report import style

HERE = Path(__file__).parent
RESULTS = HERE.parents[1] / "benchmarks" / "RESULTS.md"

# Rows of the first table under "All locations, and a teacher" by their beginning
DENSE = "dense"
SINGLE = "ours, all locations, taught by the full width"
TAYLOR = "Taylor, all locations"
FAMILY = "one training for all sizes"


class Point(NamedTuple):
    """A model: share removed and word error rate, all in percent."""

    removed: float
    mean: float
    deviation: float


def table_below(text: str, heading: str) -> list[list[str]]:
    """Cells of the first table below a heading, its header row first."""
    below = text.split(f"### {heading}\n", 1)[1]
    lines = re.search(r"(?:^\|.*\n)+", below, flags=re.MULTILINE)[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [rows[0], *rows[2:]]


def read_point(removed: str, rate: str) -> Point | None:
    """A point from the cells of a table, or None where nothing was measured."""
    if "±" not in rate:
        return None
    mean, deviation = map(float, rate.split("±"))
    return Point(float(removed.strip("% ")), mean, deviation)


def read_curves(text: str) -> dict[str, list[Point]]:
    """Points of each curve in the order of the share removed."""
    header, *rows = table_below(text, "All locations, and a teacher")
    removed, rate = header.index("removed"), header.index("WER test [%]")
    curves: dict[str, list[Point]] = {DENSE: [], FAMILY: [], SINGLE: [], TAYLOR: []}
    for row in rows:
        for name, points in curves.items():
            if row[0].startswith(name):
                points.append(read_point(row[removed], row[rate]))
    header, *rows = table_below(text, "One training for several sizes")
    column = header.index(FAMILY)
    curves[FAMILY] = [read_point(row[0], row[column]) for row in rows]
    return {name: sorted(points) for name, points in curves.items()}


@style.styled
def draw(curves: dict[str, list[Point]]) -> Figure:
    """Word error rate over the share removed, mean and standard deviation."""
    legend = {
        DENSE: "ESPnet's Conformer",
        FAMILY: "adaptive dropout, one training for four sizes",
        SINGLE: "adaptive dropout, a training for each size",
        TAYLOR: "Taylor pruning, then fine-tuning",
    }
    figure = style.new_figure(1.4 * style.COLUMN, 2.6)
    axes = figure.subplots()
    for index, (name, points) in enumerate(curves.items()):
        look = dict(style.line_style(index))
        if name != FAMILY:
            look["linestyle"] = "none"
        # Side by side where several models have the same size
        shares = [point.removed + 1.1 * max(index - 1, 0) for point in points]
        means = [point.mean for point in points]
        deviations = [point.deviation for point in points]
        axes.errorbar(
            shares, means, deviations, label=legend[name], elinewidth=0.7, **look
        )
    axes.axhline(curves[DENSE][0].mean, color="0.7", linestyle=":", zorder=0)
    axes.set_xlabel("share of the encoder's parameters removed [%]")
    axes.set_ylabel("word error rate [%]")
    axes.set_ylim(bottom=0.9)
    axes.grid(axis="y", color="0.9", linewidth=0.5)
    axes.set_axisbelow(True)
    figure.legend(loc="outside lower center", ncols=2)
    return figure


if __name__ == "__main__":
    figure = draw(read_curves(RESULTS.read_text(encoding="utf-8")))
    print(*style.save(figure, HERE / "size_wer"))
