"""Bars of size and time of the forms of an encoder."""

from __future__ import annotations

from typing import Dict

from matplotlib.figure import Figure

from espnet_adaptive_dropout.report.exported import ExportedForm
from espnet_adaptive_dropout.report.style import PAGE, new_figure, styled

_BAR = dict(facecolor="0.7", edgecolor="black", linewidth=0.6)


@styled
def form_bars(forms: Dict[str, ExportedForm]) -> Figure:
    """One panel of sizes and, where all were timed, one of times.

    Args:
        forms: by name, in the order from top to bottom.
    """
    panels = {"size [MB]": [form.bytes / 1e6 for form in forms.values()]}
    times = [1e3 * form.seconds.median for form in forms.values() if form.seconds]
    if len(times) == len(forms):
        panels["CPU time, 10 s utterance [ms]"] = times
    figure = new_figure(PAGE, 0.7 + 0.26 * len(forms))
    all_axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axes, (label, values) in zip(all_axes, panels.items()):
        bars = axes.barh(range(len(values)), values, 0.7, **_BAR)
        axes.bar_label(bars, fmt="%.3g", padding=2, fontsize=7)
        axes.set_xlabel(label)
        axes.tick_params(axis="y", length=0)
        axes.margins(x=0.15)
        axes.set_xlim(left=0.0)
    all_axes[0].set_yticks(range(len(forms)), [form.title for form in forms.values()])
    all_axes[0].invert_yaxis()
    return figure
