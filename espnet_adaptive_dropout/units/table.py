"""All removable units of an encoder in one row: their order, gates and size."""

from __future__ import annotations

import dataclasses
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

import torch

from espnet_adaptive_dropout.modules.gate import AdaptiveDropout
from espnet_adaptive_dropout.units import attach, locations
from espnet_adaptive_dropout.units.cost import Cost, parameter_cost

# Over what a size is divided evenly; within, the units compete.
BUDGETS = ("encoder", "block", "location", "module")

# Location -> the location of the same block that only it reads.
READ_BY = {
    "value": "query",
    "conv_channel": "conv_input",
    "subsampling_2": "subsampling_1",
}


@dataclasses.dataclass(frozen=True)
class UnitGroup:
    """The units of one location in one block, or in the input layer.

    Args:
        block: index of the block; None: the input layer.
        location: name of the location.
        start: position of the first unit in the row.
        units: number of units.
        heads: number of heads the units are divided into (1: no heads).
    """

    block: Optional[int]
    location: str
    start: int
    units: int
    heads: int

    @property
    def row(self) -> slice:
        """Where the group lies in the row."""
        return slice(self.start, self.start + self.units)

    @property
    def place(self) -> locations.Location:
        """What the table of locations says of it."""
        return locations.LOCATIONS[self.location]

    def owner(self, encoder: torch.nn.Module) -> torch.nn.Module:
        """The block of ``encoder``, or the encoder itself."""
        return encoder if self.block is None else encoder.encoders[self.block]

    def key(self, name: str) -> str:
        """Key of tensor ``name`` of the module in the state of the encoder."""
        owner = "" if self.block is None else f"encoders.{self.block}."
        return f"{owner}{self.place.module}.{name}"


class UnitTable:
    """All removable units of an encoder, gated or not, in order.

    Args:
        encoder: a stock or adaptive-dropout ConformerEncoder at full width.

    Attributes:
        groups: UnitGroups in row order.
        gates: the AdaptiveDropout of each (block, location) that has one.
        units: length of the row.
        parameters: the Cost in parameters.
    """

    def __init__(self, encoder: torch.nn.Module):
        self.groups: List[UnitGroup] = []
        self.gates: Dict[Tuple[Optional[int], str], AdaptiveDropout] = {}
        for block, owner in attach.owners(encoder):
            for location in attach.available(owner):
                self._add(block, owner, location)
        self.units = sum(group.units for group in self.groups)
        self.parameters = parameter_cost(encoder, self)

    def _add(self, block: Optional[int], owner, location: locations.Location) -> None:
        module = getattr(owner, location.module)
        start = self.groups[-1].row.stop if self.groups else 0
        group = UnitGroup(
            block,
            location.name,
            start,
            attach.unit_count(owner, location),
            module.h if location.per_head else 1,
        )
        self.groups.append(group)
        gate = attach.gate_of(owner, location)
        if gate is not None:
            self.gates[(block, location.name)] = gate

    def gated_groups(self) -> List[UnitGroup]:
        """Groups that have a gate, in row order."""
        return [g for g in self.groups if (g.block, g.location) in self.gates]

    def gated(self) -> torch.Tensor:
        """Which units have a gate, bool (units,)."""
        mask = torch.zeros(self.units, dtype=torch.bool)
        for group in self.gated_groups():
            mask[group.row] = True
        return mask

    def pools(self, budget: str) -> torch.Tensor:
        """Which units compete with each other, as pool numbers 0, 1, ... (units,).

        Args:
            budget: one of BUDGETS; "encoder": all units; "block": those of a block
                (or the input layer);
                "location": those of a location, of all blocks; "module": those of a
                location of a block.
        """
        keys = {
            "encoder": lambda group: 0,
            "block": lambda group: group.block,
            "location": lambda group: group.location,
            "module": lambda group: (group.block, group.location),
        }[budget]
        numbers: Dict = {}
        return torch.cat(
            [
                torch.full((g.units,), numbers.setdefault(keys(g), len(numbers)))
                for g in self.groups
            ]
        )

    def logits(self) -> torch.Tensor:
        """Logits of the gated units in row order, differentiable."""
        gates = list(self.gates.values())  # in row order, of one scale
        scaled = torch.cat([gate.scaled_logits for gate in gates])
        return scaled * gates[0].logit_scale

    @torch.no_grad()
    def set_logits(self, logits: torch.Tensor) -> None:
        """Overwrite the logits of the gated units, in the order of ``logits()``."""
        groups = self.gated_groups()
        parts = logits.split([group.units for group in groups])
        for group, part in zip(groups, parts):
            self.gates[(group.block, group.location)].set_logits(part)

    def close(self, keep: torch.Tensor) -> torch.Tensor:
        """Add what follows from ``keep``: what nobody reads goes too.

        A head without value units contributes nothing whatever its queries are, nor
        does a convolution module without channels, whatever its inputs.

        Args:
            keep: which units stay, bool (units,).

        Returns:
            The closed set, a new tensor.
        """
        keep = keep.clone()
        for reader, read in self._readers():
            alive = keep[reader.row].view(reader.heads, -1).any(dim=1, keepdim=True)
            units = keep[read.row].view(reader.heads, -1)
            keep[read.row] = (units & alive).flatten()
        return keep

    def _readers(self) -> Iterator[Tuple[UnitGroup, UnitGroup]]:
        """Groups without which, head by head, another group has no effect."""
        by_name = {(group.block, group.location): group for group in self.groups}
        for group in self.groups:
            if group.location in READ_BY:
                yield group, by_name[(group.block, READ_BY[group.location])]

    def removed(self, keep: torch.Tensor, cost: Optional[Cost] = None) -> int:
        """What is saved when only ``keep`` and what it needs stay (parameters)."""
        gone = ~self.close(keep).cpu()
        return round((cost or self.parameters).removed(gone).item())

    def reduction(self, keep: torch.Tensor, cost: Optional[Cost] = None) -> float:
        """Share of the encoder's parameters, or other cost, that is saved."""
        return self.removed(keep, cost) / (cost or self.parameters).total

    def without(self, names: Sequence[str]) -> torch.Tensor:
        """All units but those of the named locations, bool (units,)."""
        return torch.cat(
            [torch.full((g.units,), g.location not in names) for g in self.groups]
        )

    def bounds(
        self, names: Optional[Sequence[str]] = None, cost: Optional[Cost] = None
    ) -> Dict[str, float]:
        """The most that each location can give, as a share of the encoder.

        A location alone; all values of a block gone take its queries along.
        """
        chosen = [
            name
            for name in locations.LOCATIONS
            if any(group.location == name for group in self.groups)
            and (names is None or name in names)
        ]
        bounds = {name: self.reduction(self.without([name]), cost) for name in chosen}
        bounds["all"] = self.reduction(self.without(chosen), cost)
        return bounds
