"""The units of one location in one block."""

from __future__ import annotations

import dataclasses

import torch

from espnet_adaptive_dropout.units import locations


@dataclasses.dataclass(frozen=True)
class UnitGroup:
    """The units of one location in one block, or in the input layer.

    Args:
        block: index of the block; None: the input layer.
        location: name of the location.
        start: index of the first unit in the unit order.
        num_units: number of units.
        heads: number of heads the units are divided into (1: no heads).
    """

    block: int | None
    location: str
    start: int
    num_units: int
    heads: int

    @property
    def span(self) -> slice:
        """The units of the group in the unit order."""
        return slice(self.start, self.start + self.num_units)

    @property
    def location_spec(self) -> locations.Location:
        """The entry of the location in the table of locations."""
        return locations.LOCATIONS[self.location]

    def owner(self, encoder: torch.nn.Module) -> torch.nn.Module:
        """The block of ``encoder``, or the encoder itself."""
        return encoder if self.block is None else encoder.encoders[self.block]

    def key(self, name: str) -> str:
        """Key of a tensor of the group's module in the state of the encoder."""
        owner = "" if self.block is None else f"encoders.{self.block}."
        return f"{owner}{self.location_spec.module}.{name}"
