"""Curves of error over size: sweeps of one training, and separate trainings."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullLocator

from espnet_adaptive_dropout.report.style import (
    COLUMN,
    PAGE,
    VALIDATION_ERRORS,
    line_style,
    new_figure,
    styled,
)


@dataclasses.dataclass(frozen=True)
class SizePoint:
    """A model of some size.

    Args:
        encoder_params: parameters of its encoder.
        reduction: share of the encoder's parameters that is gone.
        errors: label with unit -> value.
        as_trained: not cut to a size; of the size that its training left it at.
    """

    encoder_params: int
    reduction: float
    errors: dict[str, float]
    as_trained: bool = False


@dataclasses.dataclass(frozen=True)
class SizeCurve:
    """Models that belong together.

    Args:
        name: name in the legend.
        points: the models.
        connected: sizes of one training, drawn with a line; otherwise separate
            trainings, drawn as points.
    """

    name: str
    points: list[SizePoint]
    connected: bool = True

    def values(self, label: str) -> list[float]:
        """This error of the points that have it."""
        return [p.errors[label] for p in self.points if label in p.errors]

    def errors(self) -> list[str]:
        """Labels of the errors of all points."""
        return list(dict.fromkeys(key for p in self.points for key in p.errors))


def read_sweep(path: Path, name: str = "", connected: bool = True) -> SizeCurve:
    """Read the sweep.json of ``bin.sweep``.

    Args:
        path: sweep.json to read.
        name: name in the legend; "" takes the file's directory and criterion.
        connected: whether the sizes are of one training, see :class:`SizeCurve`.

    Raises:
        ValueError: the file cannot be read or is not a sweep.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        points = [_read_point(entry) for entry in content["sizes"]]
        name = name or f"{Path(path).parent.name} ({content['criterion']})"
    except OSError as error:
        raise ValueError(f"{path}: cannot read the sweep ({error.strerror})") from None
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path}: not a sweep.json of bin.sweep ({type(error).__name__}: {error})"
        ) from None
    points.sort(key=lambda point: point.encoder_params)
    return SizeCurve(name, points, connected)


def _read_point(entry: dict[str, Any]) -> SizePoint:
    errors = {}
    for kind in ("wer", "cer"):
        for dataset, value in (entry.get(kind) or {}).items():
            errors[f"{kind.upper()} {dataset} [%]"] = float(value)
    for key, value in (entry.get("valid") or {}).items():
        if key in VALIDATION_ERRORS and value is not None and math.isfinite(value):
            label, convert = VALIDATION_ERRORS[key]
            errors[f"validation {label}"] = convert(float(value))
    return SizePoint(
        int(entry["encoder_params"]),
        float(entry["reduction"]),
        errors,
        entry["target_reduction"] is None,
    )


def shown_errors(curves: Sequence[SizeCurve]) -> list[str]:
    """The errors worth a panel: WERs if there are any, else the best of the rest."""
    labels = list(dict.fromkeys(label for curve in curves for label in curve.errors()))
    decoded = [label for label in labels if label.startswith("WER ")]
    if decoded:
        return decoded
    known = [f"validation {label}" for label, _ in VALIDATION_ERRORS.values()]
    return [label for label in known if label in labels][:1] or labels[:1]


@styled
def size_error_curves(curves: Sequence[SizeCurve]) -> Figure:
    """Error (or loss) over the size of the encoder, one panel for each test set.

    A ring around the marker is the model as it was trained.

    Args:
        curves: one curve or more, with one error or more.

    Raises:
        ValueError: no model has an error.
    """
    labels = shown_errors(curves)
    if not labels:
        raise ValueError("no model of the sweep has an error: decode or validate it")
    columns = min(2, len(labels))
    rows = math.ceil(len(labels) / columns)
    figure = new_figure(COLUMN if columns == 1 else PAGE, 0.6 + 2.3 * rows)
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes in panels[len(labels) :]:
        axes.set_visible(False)
    for axes, label in zip(panels, labels):
        for index, curve in enumerate(curves):
            _draw_curve(axes, curve, label, line_style(index))
        axes.set_xlabel("parameters of the encoder")
        axes.set_ylabel(label)
        axes.margins(x=0.08)
        _scale_errors(axes, [e for c in curves for e in c.values(label)])
        axes.xaxis.set_major_formatter(EngFormatter(sep=" "))
        axes.grid(axis="y", color="0.9", linewidth=0.5)
        axes.set_axisbelow(True)
        _add_reduction_axis(axes, curves)
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=2 * columns - 1)
    return figure


def _scale_errors(axes: Axes, errors: Sequence[float]) -> None:
    """Set limits around the errors with room for the markers.

    The axis is logarithmic where the errors are of different orders of magnitude.
    """
    least, most = min(errors), max(errors)
    if least > 0.0 and most > 6.0 * least:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_locator(NullLocator())
        axes.margins(y=0.1)
    else:
        # No less than a tenth of the error to either side of the middle: smaller
        # differences are not worth a slope.
        half = max(most - least, 0.2 * most, 1e-3) / 2.0
        middle = (most + least) / 2.0
        axes.set_ylim(max(middle - 1.2 * half, 0.0), middle + 1.2 * half)


def _draw_curve(
    axes: Axes, curve: SizeCurve, label: str, style: dict[str, Any]
) -> None:
    points = [point for point in curve.points if label in point.errors]
    sizes = [point.encoder_params for point in points]
    errors = [point.errors[label] for point in points]
    style = dict(style, linestyle=style["linestyle"] if curve.connected else "none")
    axes.plot(sizes, errors, label=curve.name, **style)
    uncut = [(s, e) for s, e, p in zip(sizes, errors, points) if p.as_trained]
    if uncut:
        axes.plot(
            *zip(*uncut),
            linestyle="none",
            marker="o",
            markersize=9,
            markerfacecolor="none",
            markeredgecolor=style["color"],
            markeredgewidth=0.7,
        )


def _add_reduction_axis(axes: Axes, curves: Sequence[SizeCurve]) -> None:
    """Share removed, on top, if all models come from one full-width encoder."""
    full = {
        round(point.encoder_params / (1.0 - point.reduction))
        for curve in curves
        for point in curve.points
        if point.reduction < 1.0
    }
    if not full or max(full) - min(full) > 1e-3 * max(full):
        return
    total = max(full)
    top = axes.secondary_xaxis(
        "top",
        functions=(
            lambda size: 100.0 * (1.0 - size / total),
            lambda share: total * (1.0 - share / 100.0),
        ),
    )
    top.set_xlabel("removed [%]")
