"""Plots over the course of a training: retention probabilities, size and error."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import EngFormatter

from espnet_adaptive_dropout.report.history_reader import Histograms, Series
from espnet_adaptive_dropout.report.style import (
    COLUMN,
    PAGE,
    VALIDATION_ERRORS,
    location_name,
    new_figure,
    styled,
)

STEP_LABEL = "training step"
# Name of the mark where the size is frozen.
CUT = "cut"
# Share of units from which on a bin of a histogram is seen.
_LEAST_SHARE = 0.1

# Lines of the size plot: what ESPnet logged, how it is called, how it looks.
_SIZES = (
    ("target_reduction", "target", dict(color="0.6", linestyle="-", linewidth=3.0)),
    ("expected_reduction", "expected", dict(color="black", linestyle="--")),
    ("actual_reduction", "if cut now", dict(color="black", linestyle="-")),
)


@styled
def retention_histograms(
    history: Mapping[str, Histograms], marks: Mapping[str, float] | None = None
) -> Figure:
    """One panel a location: share of its units at every probability, over steps.

    Args:
        history: histograms by location.
        marks: steps to mark, by name.
    """
    columns = min(3, len(history))
    rows = math.ceil(len(history) / columns)
    figure = new_figure(min(PAGE, 1.0 + 2.1 * columns), 0.5 + 1.55 * rows)
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for axes in panels.flat[len(history) :]:
        axes.set_visible(False)
    for index, (axes, name) in enumerate(zip(panels.flat, history)):
        image = _draw_density(axes, history[name])
        units = int(history[name].counts[0].sum())
        axes.set_title(f"{location_name(name)} ({units:,} units)")
        _draw_marks(axes, marks, with_names=False)
        if index + columns >= len(history):
            axes.set_xlabel(STEP_LABEL)
            axes.tick_params(labelbottom=True)
            axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        if index % columns == 0:
            axes.set_ylabel("retention probability")
    bar = figure.colorbar(image, ax=panels, pad=0.02, aspect=25)
    bar.set_label("share of the location's units [%]")
    bar.ax.yaxis.set_major_formatter("{x:g}")
    return figure


def _draw_density(axes: Axes, histograms: Histograms) -> QuadMesh:
    share = 100.0 * histograms.counts.T / histograms.counts.sum(axis=1)
    image = axes.pcolormesh(
        step_edges(histograms.steps),
        histograms.edges,
        np.maximum(share, _LEAST_SHARE),
        cmap="Greys",
        norm=LogNorm(_LEAST_SHARE, 100.0),
        rasterized=True,
    )
    centres = (histograms.edges[:-1] + histograms.edges[1:]) / 2.0
    mean = (share.T @ centres) / 100.0
    axes.plot(
        histograms.steps,
        mean,
        color="black",
        path_effects=[withStroke(linewidth=2.6, foreground="white")],
    )
    axes.set_ylim(0.0, 1.0)
    return image


def step_edges(steps: np.ndarray) -> np.ndarray:
    """Edges, (n + 1,), of the columns that show what was seen at ``steps`` (n,)."""
    steps = np.asarray(steps, dtype=float)
    if len(steps) == 1:
        return np.array([steps[0] - 0.5, steps[0] + 0.5])
    middle = (steps[:-1] + steps[1:]) / 2.0
    return np.array([steps[0], *middle, steps[-1]])


def _draw_marks(
    axes: Axes, marks: Mapping[str, float] | None, with_names: bool
) -> None:
    for name, step in (marks or {}).items():
        axes.axvline(step, color="0.4", linestyle=":", linewidth=0.8)
        if with_names:
            axes.text(
                step,
                1.01,
                name,
                transform=axes.get_xaxis_transform(),
                ha="center",
                va="bottom",
                fontsize=7,
            )


@styled
def size_over_training(
    train: Mapping[str, Series],
    valid: Mapping[str, Series],
    marks: Mapping[str, float] | None = None,
    cost: str = "parameters",
    of: str = "encoder",
) -> Figure:
    """Size above, validation error below, over the training's steps.

    Args:
        train: numbers logged in training, with ``expected_reduction`` and others.
        valid: numbers logged in validation.
        marks: steps to mark, by name.
        cost: unit of the size, "parameters" or "macs".
        of: whose size it is, "encoder", "decoder" or "model".
    """
    figure = new_figure(COLUMN, 3.2)
    size, error = figure.subplots(2, 1, sharex=True)
    for name, label, style in _SIZES:
        name = size_name(name, of)
        if name in train and len(train[name].steps):
            steps, values = _within_windows(train[name], marks)
            size.plot(steps, 100.0 * values, label=label, **style)
    counted = "MACs" if cost == "macs" else cost
    size.set_ylabel(f"{of} {counted}\nremoved [%]")
    size.set_ylim(0.0, _above(size))
    size.legend(loc="upper left", frameon=True, edgecolor="white", framealpha=1.0)
    found = validation_error(valid)
    label = "no error logged"
    if found is not None:
        label, series = found
        error.plot(
            series.steps,
            series.values,
            color="black",
            marker="o",
            markerfacecolor="white",
        )
        error.set_ylim(0.0, _above(error))
    error.set_ylabel(f"validation\n{label}")
    error.set_xlabel(STEP_LABEL)
    error.xaxis.set_major_formatter(EngFormatter(sep=""))
    _draw_marks(size, marks, with_names=True)
    _draw_marks(error, marks, with_names=False)
    return figure


def size_name(name: str, of: str) -> str:
    """Name under which a training logs a size ``of`` encoder, decoder or model."""
    return f"decoder_{name}" if of == "decoder" else name


def _above(axes: Axes) -> float:
    """An upper limit that leaves room for the highest marker."""
    values = [value for line in axes.lines for value in line.get_ydata()]
    return 1.08 * np.nanmax([1e-3, *values])


def _within_windows(
    means: Series, marks: Mapping[str, float] | None
) -> tuple[np.ndarray, np.ndarray]:
    """Means over log intervals, each in the middle of its interval.

    ESPnet logs them at the end of the interval. One over steps before and after the
    cut is the size of neither: it becomes NaN, a gap in the line.

    Returns:
        Steps (n,) and values (n,).
    """
    ends = np.asarray(means.steps, dtype=float)
    starts = np.concatenate([[0.0], ends[:-1]])
    cut = (marks or {}).get(CUT, -1.0)
    mixed = (starts < cut) & (cut < ends)
    return (starts + ends) / 2.0, np.where(mixed, np.nan, means.values)


def validation_error(valid: Mapping[str, Series]) -> tuple[str, Series] | None:
    """The best error that was logged: its label with unit, and its values in it."""
    for name, (label, convert) in VALIDATION_ERRORS.items():
        if name in valid and len(valid[name].steps):
            series = valid[name]
            return label, Series(series.steps, convert(series.values))
    return None


def control_marks(conf: dict, total_steps: int | None) -> dict[str, float]:
    """Steps at which the ramp starts and ends and the size is frozen.

    Args:
        conf: ``ramp_start``, ``ramp_end`` and ``freeze_at``, shares of the training;
            one that is missing or not within it is not marked.
        total_steps: length of the training; None marks nothing.
    """
    names: list[tuple[str, str]] = [
        ("ramp_start", "ramp starts"),
        ("ramp_end", "ramp ends"),
        ("freeze_at", CUT),
    ]
    if not total_steps:
        return {}
    return {
        name: conf[key] * total_steps
        for key, name in names
        if conf.get(key) is not None and 0.0 < conf[key] < 1.0
    }
