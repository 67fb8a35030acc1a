"""All removable units of an encoder in one row: their order, gates and size."""

from __future__ import annotations

import dataclasses
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

import torch

from espnet_adaptive_dropout import locations
from espnet_adaptive_dropout.cost import Cost, parameter_cost
from espnet_adaptive_dropout.gate import AdaptiveDropout

# Over what a size is divided evenly; within, the units compete.
BUDGETS = ("encoder", "block", "module")


@dataclasses.dataclass(frozen=True)
class UnitGroup:
    """The units of one location in one block.

    Args:
        block: index of the block.
        location: name of the location.
        start: position of the first unit in the row.
        units: number of units.
        heads: number of heads the units are divided into (1: no heads).
    """

    block: int
    location: str
    start: int
    units: int
    heads: int

    @property
    def row(self) -> slice:
        """Where the group lies in the row."""
        return slice(self.start, self.start + self.units)


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
        self.gates: Dict[Tuple[int, str], AdaptiveDropout] = {}
        for block, layer in enumerate(encoder.encoders):
            for location in locations.available(layer):
                self._add(block, layer, location)
        self.units = sum(group.units for group in self.groups)
        self.parameters = parameter_cost(encoder, self)

    def _add(self, block: int, layer, location: locations.Location) -> None:
        module = getattr(layer, location.module)
        start = self.groups[-1].row.stop if self.groups else 0
        group = UnitGroup(
            block,
            location.name,
            start,
            locations.unit_count(layer, location),
            module.h if location.per_head else 1,
        )
        self.groups.append(group)
        gate = getattr(module, location.gate, None)
        if isinstance(gate, AdaptiveDropout):
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
            budget: one of BUDGETS; "encoder": all units; "block": those of a block;
                "module": those of a location of a block.
        """
        keys = {
            "encoder": lambda group: 0,
            "block": lambda group: group.block,
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
        return torch.cat(
            [self.gates[(g.block, g.location)].logits for g in self.gated_groups()]
        )

    @torch.no_grad()
    def set_logits(self, logits: torch.Tensor) -> None:
        """Overwrite the logits of the gated units, in the order of ``logits()``."""
        groups = self.gated_groups()
        parts = logits.split([group.units for group in groups])
        for group, part in zip(groups, parts):
            self.gates[(group.block, group.location)].set_logits(part)

    def close(self, keep: torch.Tensor) -> torch.Tensor:
        """Add what follows from ``keep``: void heads lose their query units.

        A head without value units contributes nothing whatever its queries are.

        Args:
            keep: which units stay, bool (units,).

        Returns:
            The closed set, a new tensor.
        """
        keep = keep.clone()
        for value, query in self._attention():
            alive = keep[value.row].view(value.heads, -1).any(dim=1, keepdim=True)
            queries = keep[query.row].view(query.heads, -1)
            keep[query.row] = (queries & alive).flatten()
        return keep

    def _attention(self) -> Iterator[Tuple[UnitGroup, UnitGroup]]:
        by_name = {(group.block, group.location): group for group in self.groups}
        for group in self.groups:
            if group.location == "value":
                yield group, by_name[(group.block, "query")]

    def removed(self, keep: torch.Tensor, cost: Optional[Cost] = None) -> int:
        """What is saved when only ``keep`` and what it needs stay (parameters)."""
        gone = ~self.close(keep).cpu()
        return int(((cost or self.parameters).per_unit * gone).sum().item())

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
