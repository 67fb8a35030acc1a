"""Cuts the rows and columns of removed units out of an encoder's weights.

What goes with a unit stands in ``locations.py`` alone.
"""

from __future__ import annotations

from typing import Dict, Iterator, Tuple

import torch

from espnet_adaptive_dropout.checkpoint import without_gates
from espnet_adaptive_dropout.locations import LOCATIONS
from espnet_adaptive_dropout.units import UnitGroup, UnitTable


def cut_weights(
    state: Dict[str, torch.Tensor], table: UnitTable, keep: torch.Tensor, prefix: str
) -> Dict[str, torch.Tensor]:
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
    for group, name, axis in _slices(table):
        key = _key(group, name, prefix)
        if key not in new:
            continue
        kept = keep[group.row]
        if name.startswith("pos_bias"):
            # (heads, d_k) in the stock module, flat in a compact one.
            if _is_narrow(table, keep, group.block):
                new[key] = new[key].flatten()[kept]
        elif not kept.all():
            new[key] = new[key].index_select(axis, kept.nonzero().flatten())
    return new


def fold_weights(
    state: Dict[str, torch.Tensor], table: UnitTable, keep: torch.Tensor, prefix: str
) -> Dict[str, torch.Tensor]:
    """Return weights of the stock, full-width model that computes the same.

    Every slice that belongs to a removed unit is set to zero, so that any ESPnet
    user can load the result as ``encoder: conformer``, without the plugin.

    Args and keys are those of :func:`cut_weights`.
    """
    new = without_gates(state)
    for group, name, axis in _slices(table):
        key = _key(group, name, prefix)
        kept = keep[group.row]
        if key not in new or kept.all():
            continue
        tensor = new[key].clone()
        if name.startswith("pos_bias"):
            tensor.view(-1)[~kept] = 0.0
        else:
            tensor.index_fill_(axis, (~kept).nonzero().flatten(), 0.0)
        new[key] = tensor
    return new


def _slices(table: UnitTable) -> Iterator[Tuple[UnitGroup, str, int]]:
    for group in table.groups:
        for name, axis in LOCATIONS[group.location].slices:
            yield group, name, axis


def _key(group: UnitGroup, name: str, prefix: str) -> str:
    module = LOCATIONS[group.location].module
    return f"{prefix}encoders.{group.block}.{module}.{name}"


def _is_narrow(table: UnitTable, keep: torch.Tensor, block: int) -> bool:
    """Whether the attention of ``block`` loses any unit."""
    return not all(
        keep[group.row].all()
        for group in table.groups
        if group.block == block and group.location in ("query", "value")
    )
