"""Dot plot of the word error rates of all rows, with every seed."""

from __future__ import annotations

from pathlib import Path

from benchmarks.compare.runs import (
    ABLATION,
    BOTH,
    EQUAL_COST,
    MAIN,
    SETTINGS,
    SIZES,
)
from benchmarks.tables.results import Measured, of_section
from espnet_adaptive_dropout.experiments.files import replacing

TITLES = {
    MAIN: "same size",
    EQUAL_COST: "training at the same cost",
    BOTH: "encoder and decoder",
    ABLATION: "by location",
    SETTINGS: "one setting changed",
    SIZES: "many sizes",
}


def plot_rows(rows: list[Measured], dense: Measured | None, path: Path) -> None:
    """Write a PNG: one line a row, a dot a seed, a bar at the mean.

    Args:
        rows: all that there are.
        dense: whose mean is drawn through all panels; None leaves it out.
        path: of the image.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    parts = [(section, of_section(rows, section)) for section in TITLES]
    parts = [(section, chosen) for section, chosen in parts if chosen]
    heights = [len(chosen) + 1 for _, chosen in parts]
    figure, panels = plt.subplots(
        len(parts),
        1,
        sharex=True,
        squeeze=False,
        figsize=(7.0, 0.28 * sum(heights) + 1.0),
        gridspec_kw=dict(height_ratios=heights),
    )
    for panel, (section, chosen) in zip(panels[:, 0], parts):
        _draw(panel, chosen)
        panel.set_title(TITLES[section], loc="left", fontsize=9)
        if dense is not None:
            panel.axvline(
                dense.mean_rate(), color="0.5", linestyle=":", linewidth=1, zorder=0
            )
    # To the left from the right edge: beside long titles the panels are narrow
    panels[-1, 0].set_xlabel(
        "WER on test [%]; dot: a seed, bar: mean, dotted: dense", loc="right"
    )
    figure.tight_layout()
    with replacing(path) as partial:
        figure.savefig(partial, dpi=150, format="png")
    plt.close(figure)


def _draw(panel, rows: list[Measured]) -> None:
    for height, row in enumerate(rows):
        rates = list(row.rates("test").values())
        panel.plot(
            rates, [height] * len(rates), "o", markersize=4, color="black", alpha=0.6
        )
        panel.plot([row.mean_rate()], [height], "|", markersize=14, color="black")
    panel.set_yticks(range(len(rows)), [row.title for row in rows], fontsize=8)
    panel.set_ylim(len(rows) - 0.5, -0.5)
    panel.grid(axis="x", color="0.9")
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)
