"""Which units stay: the plan that is written beside the pruned model."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from espnet_adaptive_dropout.units.cost import Cost
from espnet_adaptive_dropout.units.table import UnitTable
from espnet_adaptive_dropout.units.widths import (
    describe_groups,
    kept_ranges,
    parse_indices,
)


@dataclasses.dataclass
class PruningPlan:
    """Kept units of every location of every block.

    Args:
        criterion: name of the criterion that ranked the units.
        target_reduction: share to remove that was asked for; None if the units with
            p > 0.5 stay.
        cost: cost that the target is a share of, "parameters" or "macs".
        cost_reduction: removed share of that cost.
        reduction: removed share of the encoder's parameters.
        encoder_parameters: parameters of the encoder before pruning, without gates.
        removed_parameters: number of removed parameters.
        blocks: for each block, location name -> kept unit indices as ranges.
        input_layer: location name -> kept unit indices of the input layer.
        repaired: whether weights were changed after the cut (``--repair true``).
    """

    criterion: str
    target_reduction: Any
    cost: str
    cost_reduction: float
    reduction: float
    encoder_parameters: int
    removed_parameters: int
    blocks: list[dict[str, str]]
    input_layer: dict[str, str] = dataclasses.field(default_factory=dict)
    repaired: bool = False

    @classmethod
    def from_keep(
        cls,
        table: UnitTable,
        keep: torch.Tensor,
        criterion: str,
        target: Any,
        cost: Cost | None = None,
    ) -> PruningPlan:
        """Describe which units are kept.

        Args:
            table: unit table of the encoder.
            keep: which units stay, without unused ones, bool (units,).
            criterion: name of the criterion.
            target: share to remove that was asked for, or None.
            cost: cost that the target is a share of; None takes the parameters.
        """
        cost = cost or table.parameters
        input_layer, *blocks = describe_groups(
            table, lambda group: kept_ranges(group, keep)
        )
        return cls(
            criterion,
            target,
            cost.name,
            table.reduction(keep, cost),
            table.reduction(keep),
            int(table.parameters.total),
            table.removed(keep),
            blocks,
            input_layer,
        )

    @classmethod
    def from_dict(cls, options: dict[str, Any]) -> PruningPlan:
        """Make a plan of the mapping that :meth:`to_dict` returns."""
        return cls(**options)

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as a mapping for YAML."""
        return dataclasses.asdict(self)

    def keep(self, table: UnitTable) -> torch.Tensor:
        """Return which units of ``table`` are kept, bool (units,)."""
        keep = torch.zeros(table.num_units, dtype=torch.bool)
        for group in table.groups:
            owner = (
                self.input_layer if group.block is None else self.blocks[group.block]
            )
            ranges = owner.get(group.location)
            if ranges is None:  # a location that the plan's release did not have
                keep[group.span] = True
                continue
            kept = torch.tensor(parse_indices(ranges), dtype=torch.long)
            keep[group.start + kept] = True
        return keep
