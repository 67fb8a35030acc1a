"""Cuts the rows and columns of removed units out of an encoder's weights.

Which rows and columns belong to a unit is read from ``units/locations.py``.
"""

from __future__ import annotations

import torch

from espnet_adaptive_dropout.experiments.checkpoint import without_gates
from espnet_adaptive_dropout.units.table import UnitTable


def cut_weights(
    state: dict[str, torch.Tensor], table: UnitTable, keep: torch.Tensor, prefix: str
) -> dict[str, torch.Tensor]:
    """Return the weights of the compact model.

    Args:
        state: weights of the whole model; not changed.
        table: unit table of the full-width encoder.
        keep: which units stay, without unused ones, bool (units,).
        prefix: prefix of the encoder's weights, "encoder.".

    Returns:
        A new dict without gates and size control. Tensors that lose nothing are
        shared with ``state``.
    """
    new = without_gates(state)
    for group in table.groups:
        kept = keep[group.span]
        for part in group.location_spec.slices:
            key = prefix + group.key(part.name)
            if key not in new:
                continue
            if part.name.startswith("pos_bias"):
                # (heads, d_k) in the stock module, flat in a compact one.
                if _is_narrow(table, keep, group.block):
                    new[key] = new[key].flatten()[kept]
            elif not kept.all():
                indices = part.indices(state[key], kept)
                new[key] = new[key].index_select(part.axis, indices)
    return new


def _is_narrow(table: UnitTable, keep: torch.Tensor, block: int | None) -> bool:
    """Whether the attention of ``block`` loses any unit."""
    return not all(
        keep[group.span].all()
        for group in table.groups
        if group.block == block and group.location in ("query", "value")
    )
