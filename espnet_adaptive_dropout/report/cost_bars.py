"""Bars of what an encoder costs before and after pruning, and in its exported forms."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from espnet_adaptive_dropout.report.before_after import AFTER, BEFORE, FLOOR
from espnet_adaptive_dropout.report.costs import Costs
from espnet_adaptive_dropout.report.exported import ExportedForm
from espnet_adaptive_dropout.report.style import PAGE, new_figure, styled

_STYLES = {
    BEFORE: dict(facecolor="0.82", edgecolor="black", linewidth=0.6),
    AFTER: dict(facecolor="0.45", edgecolor="black", linewidth=0.6),
}
_FORM = dict(facecolor="0.7", edgecolor="black", linewidth=0.6)
_HATCH = dict(facecolor="none", edgecolor="black", hatch="//////", linewidth=0.0)

# name of a quantity -> values of each row, by what is measured
Panel = tuple[str, dict[str, dict[str, float]]]


def cost_panels(costs: Mapping[str, Costs]) -> list[Panel]:
    """Panels of the plot: labels, and values in their units.

    Args:
        costs: Costs of BEFORE, FLOOR and, where there is a pruned model, AFTER.

    Returns:
        (label with unit, {encoder: {part: value}}) of each panel.
    """
    total = sum(costs[BEFORE].parameters.values())
    scale, prefix = (1e6, "M") if total >= 1e7 else (1e3, "k")
    macs = sum(costs[BEFORE].macs.values())
    mac_scale, mac_prefix = (1e9, "G") if macs >= 1e10 else (1e6, "M")
    quantities = [
        (f"parameters [{prefix}]", lambda c: c.parameters, scale),
        (f"MACs,\n10 s utterance [{mac_prefix}]", lambda c: c.macs, mac_scale),
    ]
    timing = costs[BEFORE].timing
    if timing and all(c.timing is not None for c in costs.values()):
        threads = f"{timing.threads}-thread CPU time,"
        label = f"{threads}\n10 s utterance [ms]"
        quantities.append((label, lambda c: c.timing.parts, 1e-3))
    quantities.append(("peak memory,\n10 s utterance [MB]", lambda c: c.memory, 1e6))
    return [
        (
            label,
            {
                name: {part: value / unit for part, value in read(c).items()}
                for name, c in costs.items()
            },
        )
        for label, read, unit in quantities
    ]


@styled
def cost_bars(costs: Mapping[str, Costs]) -> Figure:
    """Paired bars by part; what is hatched is left when all that can go is gone.

    Args:
        costs: Costs of BEFORE, FLOOR and, where there is a pruned model, AFTER.
    """
    panels = cost_panels(costs)
    figure = new_figure(PAGE, 2.4)
    all_axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for index, (axes, (label, values)) in enumerate(zip(all_axes, panels)):
        _draw_panel(axes, values)
        axes.set_xlabel(label)
        same = index and list(values[BEFORE]) == list(panels[index - 1][1][BEFORE])
        if same:
            axes.tick_params(labelleft=False)
    shown = [name for name in (BEFORE, AFTER) if name in costs]
    titles = {BEFORE: "full width", AFTER: "pruned"}
    handles = [Patch(label=titles[name], **_STYLES[name]) for name in shown]
    handles.append(Patch(label="cannot be pruned", **_HATCH))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def _draw_panel(axes: Axes, values: Mapping[str, Mapping[str, float]]) -> None:
    shown = [name for name in (BEFORE, AFTER) if name in values]
    rows = list(values[BEFORE])
    height = 0.8 / len(shown)
    for offset, name in enumerate(shown):
        places = [
            row + (offset - (len(shown) - 1) / 2) * height for row in range(len(rows))
        ]
        lengths = [values[name][row] for row in rows]
        axes.barh(places, lengths, height, **_STYLES[name])
        # A time may come out below the floor's by chance.
        fixed = [min(values[FLOOR][row], length) for row, length in zip(rows, lengths)]
        axes.barh(places, fixed, height, **_HATCH)
    axes.set_yticks(range(len(rows)), rows)
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(left=0.0)


@styled
def form_bars(forms: dict[str, ExportedForm]) -> Figure:
    """One panel of sizes and, where all were timed, one of times.

    Args:
        forms: forms by name, from top to bottom.
    """
    panels = {"size [MB]": [form.bytes / 1e6 for form in forms.values()]}
    times = [1e3 * form.seconds.median for form in forms.values() if form.seconds]
    if len(times) == len(forms):
        panels["CPU time, 10 s utterance [ms]"] = times
    figure = new_figure(PAGE, 0.7 + 0.26 * len(forms))
    all_axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axes, (label, values) in zip(all_axes, panels.items()):
        bars = axes.barh(range(len(values)), values, 0.7, **_FORM)
        axes.bar_label(bars, fmt="%.3g", padding=2, fontsize=7)
        axes.set_xlabel(label)
        axes.tick_params(axis="y", length=0)
        axes.margins(x=0.15)
        axes.set_xlim(left=0.0)
    all_axes[0].set_yticks(range(len(forms)), [form.title for form in forms.values()])
    all_axes[0].invert_yaxis()
    return figure
