"""All removable units of an encoder or a decoder in one order, with their gates."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import torch

from espnet_adaptive_dropout.modules.gate import AdaptiveDropout
from espnet_adaptive_dropout.units import attach, locations
from espnet_adaptive_dropout.units.cost import Cost
from espnet_adaptive_dropout.units.group import UnitGroup
from espnet_adaptive_dropout.units.unit_cost import parameter_cost

# Over what a size is divided evenly; within, the units compete.
BUDGETS = ("encoder", "block", "location", "module")


class UnitTable:
    """All removable units of an encoder or a decoder, gated or not, in order.

    Args:
        stack: ESPnet's ConformerEncoder or TransformerDecoder at full width, or one
            with adaptive dropout.

    Attributes:
        groups: UnitGroups in unit order.
        gates: the AdaptiveDropout of each (block, location) that has one.
        num_units: number of units.
        parameters: the Cost in parameters.
    """

    def __init__(self, stack: torch.nn.Module):
        self.groups: list[UnitGroup] = []
        self.gates: dict[tuple[int | None, str], AdaptiveDropout] = {}
        for block, owner in attach.owners(stack):
            for location in attach.available(owner):
                self._add(block, owner, location)
        self.num_units = sum(group.num_units for group in self.groups)
        self.parameters = parameter_cost(stack, self.groups, self.gates.values())

    @classmethod
    def joined(cls, tables: Sequence[UnitTable]) -> UnitTable:
        """One table of the units of an encoder and of a decoder, which then compete.

        Args:
            tables: tables of different stacks; their gates are shared.
        """
        joined = cls.__new__(cls)
        joined.groups, joined.gates, joined.num_units = [], {}, 0
        for table in tables:
            start = joined.num_units
            joined.groups += [
                dataclasses.replace(group, start=start + group.start)
                for group in table.groups
            ]
            joined.gates.update(table.gates)
            joined.num_units += table.num_units
        joined.parameters = Cost.joined([table.parameters for table in tables])
        return joined

    def _add(
        self,
        block: int | None,
        owner: torch.nn.Module,
        location: locations.Location,
    ) -> None:
        module = getattr(owner, location.module)
        start = self.groups[-1].span.stop if self.groups else 0
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

    @property
    def name(self) -> str:
        """Return "encoder" or "decoder"; "model" where the table has both."""
        kinds = {group.stack for group in self.groups}
        return "model" if len(kinds) > 1 else "".join(kinds)

    def gated_groups(self) -> list[UnitGroup]:
        """Groups that have a gate, in unit order."""
        return [g for g in self.groups if (g.block, g.location) in self.gates]

    def gated(self) -> torch.Tensor:
        """Which units have a gate, bool (units,)."""
        mask = torch.zeros(self.num_units, dtype=torch.bool)
        for group in self.gated_groups():
            mask[group.span] = True
        return mask

    def pools(self, budget: str) -> torch.Tensor:
        """Which units compete with each other, as pool numbers 0, 1, ... (units,).

        Args:
            budget: one of BUDGETS: all units of the "encoder" (or of all stacks of
                the table) compete, or those of a "block" (or the input layer), of a
                "location" in all blocks, or of a "module" (a location of a block).
        """
        keys = {
            "encoder": lambda group: 0,
            "block": lambda group: group.place,
            "location": lambda group: group.location,
            "module": lambda group: (group.block, group.location),
        }[budget]
        numbers: dict = {}
        return torch.cat(
            [
                torch.full((g.num_units,), numbers.setdefault(keys(g), len(numbers)))
                for g in self.groups
            ]
        )

    def logits(self) -> torch.Tensor:
        """Logits of the gated units in unit order, a new tensor (gated units,)."""
        return torch.cat([gate.logits for gate in self.gates.values()])

    @torch.no_grad()
    def set_logits(self, logits: torch.Tensor) -> None:
        """Overwrite the logits of the gated units, in the order of ``logits()``."""
        groups = self.gated_groups()
        parts = logits.split([group.num_units for group in groups])
        for group, part in zip(groups, parts):
            self.gates[(group.block, group.location)].set_logits(part)

    def decided(self) -> torch.Tensor:
        """Return the units that the gates keep (p > 0.5), bool (units,)."""
        keep = torch.ones(self.num_units, dtype=torch.bool)
        keep[self.gated()] = self.logits().cpu() > 0
        return self.without_unused(keep)

    def without_unused(self, keep: torch.Tensor) -> torch.Tensor:
        """The units of ``keep`` without those that have no effect any more.

        A head without value units contributes nothing whatever its queries are, nor
        does a convolution module without channels, whatever its inputs.

        Args:
            keep: which units stay, bool (units,).

        Returns:
            Which of them have an effect, a new tensor.
        """
        keep = keep.clone()
        for group, base in self.dependent_groups():
            alive = keep[base.span].view(base.heads, -1).any(dim=1, keepdim=True)
            units = keep[group.span].view(base.heads, -1)
            keep[group.span] = (units & alive).flatten()
        return keep

    def dependent_groups(self) -> Iterator[tuple[UnitGroup, UnitGroup]]:
        """Each group that, head by head, has no effect without another, and that."""
        by_name = {(group.block, group.location): group for group in self.groups}
        for group in self.groups:
            base = group.location_spec.depends_on
            if base is not None:
                yield group, by_name[(group.block, base)]

    def removed(self, keep: torch.Tensor, cost: Cost | None = None) -> int:
        """Cost (default: parameters) that goes when only ``keep`` stays."""
        gone = ~self.without_unused(keep).cpu()
        return round((cost or self.parameters).removed(gone).item())

    def reduction(self, keep: torch.Tensor, cost: Cost | None = None) -> float:
        """Share of the cost (default: parameters) of the table's stacks that goes."""
        return self.removed(keep, cost) / (cost or self.parameters).total

    def all_except(self, names: Sequence[str]) -> torch.Tensor:
        """All units but those of the named locations, bool (units,)."""
        return torch.cat(
            [torch.full((g.num_units,), g.location not in names) for g in self.groups]
        )

    def bounds(
        self, names: Sequence[str] | None = None, cost: Cost | None = None
    ) -> dict[str, float]:
        """The most that each location can give, as a share of the table's stacks.

        A location alone; all values of a block gone take its queries along.
        """
        chosen = [
            name
            for name in locations.LOCATIONS
            if any(group.location == name for group in self.groups)
            and (names is None or name in names)
        ]
        bounds = {
            name: self.reduction(self.all_except([name]), cost) for name in chosen
        }
        bounds["all"] = self.reduction(self.all_except(chosen), cost)
        return bounds
