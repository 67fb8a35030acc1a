"""The units of one location in one block of an encoder or a decoder."""

from __future__ import annotations

import dataclasses

import torch

from espnet_adaptive_dropout.units.location import Location
from espnet_adaptive_dropout.units.locations import LOCATIONS


@dataclasses.dataclass(frozen=True)
class UnitGroup:
    """The units of one location in one block or layer, or in the input layer.

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
    def location_spec(self) -> Location:
        """The entry of the location in the table of locations."""
        return LOCATIONS[self.location]

    @property
    def stack(self) -> str:
        """What the block is a part of, "encoder" or "decoder"."""
        return self.location_spec.stack

    @property
    def place(self) -> tuple[str, int | None]:
        """The stack and the block: groups of one place share weights."""
        return self.stack, self.block

    def owner(self, stack: torch.nn.Module) -> torch.nn.Module:
        """The block of ``stack``, which is of the group's kind, or ``stack`` itself."""
        if self.block is None:
            return stack
        return getattr(stack, self.location_spec.layers)[self.block]

    def key(self, name: str) -> str:
        """Key of a tensor of the group's module in the state of the stack."""
        layers = self.location_spec.layers
        owner = "" if self.block is None else f"{layers}.{self.block}."
        return f"{owner}{self.location_spec.module}.{name}"
