"""All removable units of an encoder in one row: their order, costs and totals."""

from __future__ import annotations

import dataclasses
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

import torch

from espnet_adaptive_dropout import locations
from espnet_adaptive_dropout.gate import AdaptiveDropout


@dataclasses.dataclass(frozen=True)
class UnitGroup:
    """The units of one location in one block.

    Args:
        block: index of the block.
        location: name of the location.
        start: position of the first unit in the row.
        units: number of units.
        cost: parameters that go with one unit.
        heads: number of heads the units are divided into (1: no heads).
    """

    block: int
    location: str
    start: int
    units: int
    cost: int
    heads: int

    @property
    def row(self) -> slice:
        """Where the group lies in the row."""
        return slice(self.start, self.start + self.units)


class UnitTable:
    """Order and cost of all removable units of an encoder, gated or not.

    Args:
        encoder: a stock or adaptive-dropout ConformerEncoder at full width.

    Attributes:
        groups: UnitGroups in row order.
        gates: the AdaptiveDropout of each (block, location) that has one.
        units: length of the row.
        costs: parameters that go with each unit, float64 (units,).
        total_parameters: of the encoder, gates not counted.
    """

    def __init__(self, encoder: torch.nn.Module):
        self.groups: List[UnitGroup] = []
        self.gates: Dict[Tuple[int, str], AdaptiveDropout] = {}
        for block, layer in enumerate(encoder.encoders):
            for location in locations.available(layer):
                self._add(block, layer, location)
        self.units = sum(group.units for group in self.groups)
        gates = {id(gate.scaled_logits) for gate in self.gates.values()}
        self.total_parameters = sum(
            parameter.numel()
            for parameter in encoder.parameters()
            if id(parameter) not in gates
        )
        self.costs = torch.cat(
            [
                torch.full((group.units,), float(group.cost), dtype=torch.float64)
                for group in self.groups
            ]
        )

    def _add(self, block: int, layer, location: locations.Location) -> None:
        module = getattr(layer, location.module)
        start = self.groups[-1].row.stop if self.groups else 0
        group = UnitGroup(
            block,
            location.name,
            start,
            locations.unit_count(layer, location),
            locations.unit_cost(layer, location),
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

    def removed_parameters(self, keep: torch.Tensor) -> int:
        """Parameters that are gone when only ``keep`` and what it needs stay."""
        gone = ~self.close(keep).cpu()
        return int((self.costs * gone).sum().item())

    def reduction(self, keep: torch.Tensor) -> float:
        """Share of the encoder's parameters that is gone."""
        return self.removed_parameters(keep) / self.total_parameters

    def bounds(self, names: Optional[Sequence[str]] = None) -> Dict[str, float]:
        """The most that each location can give, as a share of the encoder.

        A location alone; all values of a block gone take its queries along.
        """
        chosen = {group.location for group in self.groups}
        chosen = chosen if names is None else chosen & set(names)
        bounds = {
            name: self.reduction(
                torch.cat(
                    [torch.full((g.units,), g.location != name) for g in self.groups]
                )
            )
            for name in locations.LOCATIONS
            if name in chosen
        }
        everything = torch.cat(
            [torch.full((g.units,), g.location not in chosen) for g in self.groups]
        )
        bounds["all"] = self.reduction(everything)
        return bounds


def ranked_cut(
    table: UnitTable,
    scores: torch.Tensor,
    candidates: torch.Tensor,
    target_reduction: float,
) -> torch.Tensor:
    """Keep the best units so that the size comes as near to the target as it can.

    Args:
        table: of the encoder.
        scores: importance of every unit, (units,); larger stays longer.
        candidates: which units may go, bool (units,).
        target_reduction: share of the encoder's parameters to remove.

    Returns:
        Which units stay, closed, bool (units,).

    Raises:
        ValueError: the candidates cannot give that much; the message has the bound.
    """
    order = torch.argsort(scores.masked_fill(~candidates, float("inf")), stable=True)
    order = order[: int(candidates.sum())]

    def keep_after(removed: int) -> torch.Tensor:
        keep = torch.ones(table.units, dtype=torch.bool)
        keep[order[:removed]] = False
        return keep

    bound = table.reduction(keep_after(len(order)))
    if target_reduction > bound:
        raise ValueError(
            f"target_reduction={target_reduction:.3f} is more than these locations "
            f"can give ({bound:.3f} of the encoder's parameters); ask for less or "
            f"add locations"
        )
    low, high = 0, len(order)
    while low < high:
        middle = (low + high) // 2
        if table.reduction(keep_after(middle)) < target_reduction:
            low = middle + 1
        else:
            high = middle
    nearest = min(
        (max(low - 1, 0), low),
        key=lambda n: abs(table.reduction(keep_after(n)) - target_reduction),
    )
    return table.close(keep_after(nearest))
