"""Cuts the entries of removed units out of tensors, and puts tensors back.

Which entries belong to a unit is read from ``units/locations.py``.
"""

from __future__ import annotations

import dataclasses

import torch

from espnet_adaptive_dropout.units.table import UnitTable


@dataclasses.dataclass
class Cut:
    """How one tensor is cut.

    Args:
        kept: the entries that stay, by axis of the tensor.
        is_flat: whether the tensor is flattened first: the ``pos_bias`` of attention
            is (heads, d_k) in the stock module and flat in a compact one.
    """

    kept: dict[int, torch.Tensor] = dataclasses.field(default_factory=dict)
    is_flat: bool = False

    def narrow(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return a new tensor with the entries that stay."""
        tensor = tensor.flatten() if self.is_flat else tensor
        for axis, entries in self.kept.items():
            tensor = tensor.index_select(axis, entries.to(tensor.device))
        return tensor

    def widen(self, narrow: torch.Tensor, full: torch.Tensor) -> torch.Tensor:
        """Return a copy of ``full`` with the entries that stay taken from ``narrow``.

        Args:
            narrow: tensor of the shape that :meth:`narrow` gives, without dimensions
                of size 1 or with.
            full: tensor of the full shape.
        """
        wide = full.clone()
        target = wide.view(-1) if self.is_flat else wide
        index = []
        for axis, size in enumerate(target.shape):
            entries = self.kept.get(axis, torch.arange(size)).to(wide.device)
            index.append(entries.view([-1] + [1] * (target.dim() - axis - 1)))
        sizes = [entries.numel() for entries in index]
        target[tuple(index)] = narrow.to(wide).reshape(sizes)
        return wide


def find_cuts(
    state: dict[str, torch.Tensor], table: UnitTable, keep: torch.Tensor, prefix: str
) -> dict[str, Cut]:
    """Find the tensors that lose entries.

    Args:
        state: tensors at full width, by name.
        table: unit table of the full-width encoder.
        keep: which units stay, without unused ones, bool (units,).
        prefix: prefix of the encoder's names in ``state``, for example "encoder.".

    Returns:
        How each of these tensors is cut, by name.
    """
    cuts: dict[str, Cut] = {}
    for group in table.groups:
        kept = keep[group.span]
        for part in group.location_spec.slices:
            key = prefix + group.key(part.name)
            if key not in state:
                continue
            if part.name.startswith("pos_bias"):
                if _is_narrow(table, keep, group.block):
                    cuts[key] = Cut({0: kept.nonzero().flatten()}, is_flat=True)
            elif not kept.all():
                indices = part.indices(state[key], kept)
                cuts.setdefault(key, Cut()).kept[part.axis] = indices
    return cuts


def narrow_all(
    state: dict[str, torch.Tensor], cuts: dict[str, Cut]
) -> dict[str, torch.Tensor]:
    """Return a new dict in which the tensors of ``cuts`` are narrow.

    Args:
        state: tensors at full width, by name; not changed.
        cuts: how each tensor that loses entries is cut, by name.
    """
    return {
        name: cuts[name].narrow(tensor) if name in cuts else tensor
        for name, tensor in state.items()
    }


def cut_weights(
    state: dict[str, torch.Tensor], table: UnitTable, keep: torch.Tensor, prefix: str
) -> dict[str, torch.Tensor]:
    """Return the weights of the compact model.

    Args:
        state: weights of the whole model, without those of gates; not changed.
        table: unit table of the full-width encoder.
        keep: which units stay, without unused ones, bool (units,).
        prefix: prefix of the encoder's weights, "encoder.".

    Returns:
        A new dict. Tensors that lose nothing are shared with ``state``.
    """
    return narrow_all(state, find_cuts(state, table, keep, prefix))


def _is_narrow(table: UnitTable, keep: torch.Tensor, block: int | None) -> bool:
    """Whether the attention of ``block`` loses any unit."""
    return not all(
        keep[group.span].all()
        for group in table.groups
        if group.block == block and group.location in ("query", "value")
    )
