"""Plots: cost over length, cost over width, bars of all forms."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Callable

from matplotlib.figure import Figure

from benchmarks.speed.choices import (
    COMPACT,
    DEFAULT,
    SIZES,
    STOCK,
    Setting,
    parse_row,
)
from benchmarks.speed.store import Results
from benchmarks.speed.tables import percentages
from benchmarks.speed.timing import spread
from espnet_adaptive_dropout.report.style import (
    PAGE,
    line_style,
    new_figure,
    save,
    styled,
)

# Rows with a curve; adaptive dropout before pruning coincides with the stock encoder
CURVES = (STOCK, COMPACT, "paper_54", "all_54", "torch_pruning_54")


def draw(results: Results, directory: Path, clock: str) -> list[str]:
    """Write the plots for which there are results.

    Returns:
        Names of their files.
    """
    suffix = "" if results.device == "cpu" else f"_{results.device}"
    suffix += "" if results.dtype == "float32" else f"_{results.dtype}"
    figures: dict[str, Callable[[], Figure]] = {}
    if results.reference is not None:
        figures["forms"] = lambda: forms_bars(results, clock)
        if len(results.lengths()) > 1:
            figures["lengths"] = lambda: length_curves(results, clock)
        if len(results.widths()) > 1:
            figures["widths"] = lambda: width_curves(results, clock)
    written = []
    for name, make in figures.items():
        written += save(make(), directory / (name + suffix))
    return [path.name for path in written]


@styled
def length_curves(results: Results, clock: str) -> Figure:
    """Time and MACs over the length of the utterance."""
    places = [(s.seconds, s) for s in results.lengths()]
    return _curves(results, places, "utterance length [s]", clock)


@styled
def width_curves(results: Results, clock: str) -> Figure:
    """Time and MACs over the width of the encoder."""
    places = [(SIZES[s.size]["output_size"], s) for s in results.widths()]
    label = "encoder width before pruning [units]"
    return _curves(results, places, label, clock)


def _curves(
    results: Results,
    places: Sequence[tuple[float, Setting]],
    label: str,
    clock: str,
) -> Figure:
    figure = new_figure(PAGE, 2.6)
    left, right = figure.subplots(1, 2)
    for index, name in enumerate(CURVES):
        there = [(x, results.forward[s]) for x, s in places]
        there = [(x, rows[name]) for x, rows in there if name in rows]
        if there:
            _draw_curve(left, right, there, line_style(index), name, clock)
    what = "time" if clock == "wall" else "CPU time"
    left.set_ylabel(f"{what}, {_threads(places[0][1])} [s]")
    right.set_ylabel("multiply-accumulates [G]")
    for axes in (left, right):
        axes.set_xlabel(label)
        axes.set_xticks([x for x, _ in places])
        axes.set_xlim(left=0.0)
        axes.set_ylim(bottom=0.0)
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return figure


def _draw_curve(left, right, there, style: dict, name: str, clock: str) -> None:
    x = [place for place, _ in there]
    times = [spread(row["seconds"][clock]) for _, row in there]
    middle = [time["median"] for time in times]
    title = parse_row(name).title
    left.errorbar(x, middle, yerr=_bars(times), label=title, capsize=2, **style)
    right.plot(x, [row["macs"] / 1e9 for _, row in there], **style)


@styled
def forms_bars(results: Results, clock: str) -> Figure:
    """Time and MACs of every row, relative to stock, in the reference setting."""
    rows = results.forward[results.reference]
    names = [name for name in DEFAULT if name in rows]
    names += [name for name in rows if name not in names]
    figure = new_figure(PAGE, 0.2 * len(names) + 0.9)
    axes = figure.subplots()
    of = [percentages(rows[name], clock) for name in names]
    middle = [ratio["median"] for ratio in of]
    heights = range(len(names))
    axes.barh(
        heights,
        middle,
        0.7,
        xerr=_bars(of),
        label="time, quartiles of the rounds",
        facecolor="0.75",
        edgecolor="black",
        linewidth=0.6,
        error_kw=dict(linewidth=0.8, capsize=2),
    )
    macs = [100 * rows[name]["macs"] / rows[STOCK]["macs"] for name in names]
    axes.plot(macs, heights, "D", color="black", markersize=3.5, label="MACs")
    axes.axvline(100.0, color="0.4", linestyle=":", linewidth=0.8)
    axes.set_yticks(heights, [parse_row(name).title for name in names])
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    what = "time" if clock == "wall" else "CPU time"
    axes.set_xlabel(f"{what} and MACs, % of stock's; {results.reference}")
    axes.set_xlim(left=0.0)
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def _bars(spreads: Sequence[dict[str, float]]) -> list[list[float]]:
    """Error bars from the lower to the upper quartile."""
    return [
        [of["median"] - of["low"] for of in spreads],
        [of["high"] - of["median"] for of in spreads],
    ]


def _threads(setting: Setting) -> str:
    return f"{setting.threads} thread{'s' if setting.threads > 1 else ''}"
