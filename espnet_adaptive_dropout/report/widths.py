"""Heat maps of the share of units that stayed, by block and location."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from espnet_adaptive_dropout.report.style import (
    PAGE,
    location_name,
    new_figure,
    styled,
)

BLOCK_LABEL = "Conformer block (0: next to the input)"
LAYER_LABEL = "decoder layer (0: next to the embedding)"
_UNIT_LABEL = "units kept [%]"


@styled
def kept_heat_map(kept: Sequence[dict[str, Any]], label: str = BLOCK_LABEL) -> Figure:
    """One row a location, one column a block; the cell says how many units stayed.

    The input layer is left out.

    Args:
        kept: mappings with ``block``, ``location``, ``kept`` and ``units``, as in a
            pruned model's report.json.
        label: label of the blocks.
    """
    kept = [row for row in kept if row["block"] is not None]
    names = list(dict.fromkeys(row["location"] for row in kept))
    blocks = sorted({row["block"] for row in kept})
    cells = {(row["location"], row["block"]): row for row in kept}
    counts = np.array([[cells[n, b]["kept"] for b in blocks] for n in names])
    units = np.array([[cells[n, b]["units"] for b in blocks] for n in names])
    figure = new_figure(_width(len(blocks)), 0.6 + 0.32 * len(names))
    axes = figure.add_subplot()
    labels = [
        f"{location_name(name)} (of {'/'.join(map(str, dict.fromkeys(row)))})"
        for name, row in zip(names, units.tolist())
    ]
    _draw(figure, axes, counts, units, labels, blocks, label)
    return figure


@styled
def head_heat_map(kept: Sequence[dict[str, Any]]) -> Figure:
    """Query and value units that stayed in every attention head.

    Args:
        kept: mappings of :func:`kept_heat_map` with ``heads``, the units kept in each
            head.
    """
    rows = [row for row in kept if len(row["heads"]) > 1]
    blocks = sorted({row["block"] for row in rows})
    names = list(dict.fromkeys(row["location"] for row in rows))
    heads = len(rows[0]["heads"])
    figure = new_figure(_width(len(blocks)), 0.6 + (0.26 * heads + 0.25) * len(names))
    panels = figure.subplots(len(names), 1, squeeze=False, sharex=True)[:, 0]
    for axes, name in zip(panels, names):
        cells = {row["block"]: row for row in rows if row["location"] == name}
        counts = np.array([cells[block]["heads"] for block in blocks]).T
        full = np.array([cells[block]["units"] // heads for block in blocks])
        labels = [f"head {head}" for head in range(heads)]
        label = BLOCK_LABEL if axes is panels[-1] else ""
        _draw(figure, axes, counts, np.tile(full, (heads, 1)), labels, blocks, label)
        axes.set_title(f"{location_name(name)}, of {full.max()} in a head", loc="left")
    return figure


def _width(blocks: int) -> float:
    return min(PAGE, 2.6 + 0.45 * blocks)


def _draw(
    figure: Figure,
    axes: Axes,
    counts: np.ndarray,
    units: np.ndarray,
    labels: list[str],
    blocks: list[int],
    label: str,
) -> None:
    share = 100.0 * counts / units
    image = axes.pcolormesh(
        share, cmap="Greys", vmin=0.0, vmax=100.0, edgecolors="white", linewidth=1
    )
    axes.set_yticks(np.arange(len(labels)) + 0.5, labels)
    axes.set_xticks(np.arange(len(blocks)) + 0.5, [str(block) for block in blocks])
    axes.invert_yaxis()
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.set_xlabel(label)
    for (row, column), count in np.ndenumerate(counts):
        grey = "white" if share[row, column] > 55.0 else "black"
        axes.text(
            column + 0.5,
            row + 0.5,
            f"{count:d}",
            ha="center",
            va="center",
            color=grey,
            fontsize=7,
        )
    bar = figure.colorbar(image, ax=axes, pad=0.02, aspect=12)
    bar.set_label(_UNIT_LABEL)
    bar.set_ticks([0, 50, 100])
    bar.outline.set_linewidth(0.6)
