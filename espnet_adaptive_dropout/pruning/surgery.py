"""Cuts the rows and columns of removed units out of an encoder's weights.

What goes with a unit stands in ``locations.py`` alone.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from espnet_adaptive_dropout.experiments.checkpoint import without_gates
from espnet_adaptive_dropout.units.locations import Slice
from espnet_adaptive_dropout.units.table import UnitGroup, UnitTable


def cut_weights(
    state: dict[str, torch.Tensor], table: UnitTable, keep: torch.Tensor, prefix: str
) -> dict[str, torch.Tensor]:
    """Return the weights of the compact model.

    Args:
        state: weights of the whole model; not changed.
        table: units of its encoder.
        keep: which units stay, closed, bool (units,).
        prefix: of the encoder's keys, "encoder.".

    Returns:
        A new dict without gates and size control. Tensors that lose nothing are
        shared with ``state``.
    """
    new = without_gates(state)
    for group, part in _slices(table):
        key = prefix + group.key(part.name)
        if key not in new:
            continue
        kept = keep[group.span]
        if part.name.startswith("pos_bias"):
            # (heads, d_k) in the stock module, flat in a compact one.
            if _is_narrow(table, keep, group.block):
                new[key] = new[key].flatten()[kept]
        elif not kept.all():
            places = part.indices(state[key], kept)
            new[key] = new[key].index_select(part.axis, places)
    return new


def _slices(table: UnitTable) -> Iterator[tuple[UnitGroup, Slice]]:
    for group in table.groups:
        for part in group.location_spec.slices:
            yield group, part


def _is_narrow(table: UnitTable, keep: torch.Tensor, block: int | None) -> bool:
    """Whether the attention of ``block`` loses any unit."""
    return not all(
        keep[group.span].all()
        for group in table.groups
        if group.block == block and group.location in ("query", "value")
    )
