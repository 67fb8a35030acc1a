"""What a location is: one kind of unit, with all that goes when a unit goes."""

from __future__ import annotations

import dataclasses
from typing import Callable

import torch

# Attribute of the encoder
INPUT_LAYER = "embed"


@dataclasses.dataclass(frozen=True)
class Slice:
    """The part of one tensor that goes with a unit.

    Args:
        name: name of the tensor in the module.
        axis: axis along which the units lie.
        repeats: how often the units follow one another along the axis (2: the halves
            of a gated linear unit).
    """

    name: str
    axis: int
    repeats: int = 1

    def by_unit(self, tensor: torch.Tensor, num_units: int) -> torch.Tensor:
        """All entries of ``tensor`` that belong to each unit, (units, entries)."""
        rows = tensor.movedim(self.axis, 0).reshape(self.repeats, num_units, -1)
        return rows.transpose(0, 1).reshape(num_units, -1)

    def indices(self, tensor: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        """Indices of the chosen units, bool (units,), on the axis of ``tensor``."""
        indices = torch.arange(tensor.shape[self.axis])
        indices = indices.view(self.repeats, len(chosen), -1)
        return indices[:, chosen].flatten()


@dataclasses.dataclass(frozen=True)
class Location:
    """One kind of unit.

    Args:
        name: name in configs, plans and reports.
        summary: description in one line.
        module: attribute of the owner that holds the module.
        gate: attribute of that module that holds the AdaptiveDropout; may be dotted.
        slices: parts of tensors that go with a unit. A ``pos_bias``, (heads, d_k) in
            the stock module, counts as flat.
        masked: names of the tensors that the mask of a unit scales: those on one
            side of the mask, without an activation function between.
        gated: function that returns the gated form of the stock module.
        stack: what the owner is a part of, "encoder" or "decoder".
        per_head: whether units are laid out head by head and may be unequal
            between heads.
        attends: whether a unit also takes part in a product of queries with keys.
        attends_positions: the same for frames with relative positions.
        depends_on: name of the location of the same block without whose units, head
            by head, these have no effect.
        by_default: whether it is gated where no locations are named. In the encoder
            these are the locations that arXiv 2412.04836 prunes.
    """

    name: str
    summary: str
    module: str
    gate: str
    slices: tuple[Slice, ...]
    masked: tuple[str, ...]
    gated: Callable[[torch.nn.Module], torch.nn.Module]
    stack: str = "encoder"
    per_head: bool = False
    attends: bool = False
    attends_positions: bool = False
    depends_on: str | None = None
    by_default: bool = True

    @property
    def in_input_layer(self) -> bool:
        """Whether the owner is the encoder, not one of its blocks."""
        return self.module == INPUT_LAYER

    @property
    def layers(self) -> str:
        """Attribute of the stack that holds its blocks, or layers."""
        return f"{self.stack}s"

    @property
    def width_name(self) -> str:
        """Name in the ``widths`` of a compact encoder or decoder."""
        return self.name.removeprefix("decoder_")
