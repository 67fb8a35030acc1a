"""Which units stay: the plan that is written beside the pruned model."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import torch

from espnet_adaptive_dropout.units.cost import Cost
from espnet_adaptive_dropout.units.group import UnitGroup
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
            p > 0.5 stay, or if encoder and decoder have a target each.
        cost: cost that the target is a share of, "parameters" or "macs".
        cost_reduction: removed share of that cost, of what ``of`` names.
        reduction: removed share of its parameters.
        encoder_parameters: parameters of the encoder before pruning, without gates; 0
            if only the decoder was cut.
        removed_parameters: number of removed parameters.
        blocks: for each block, location name -> kept unit indices as ranges.
        input_layer: location name -> kept unit indices of the input layer.
        repaired: whether weights were changed after the cut (``--repair true``).
        of: what the target counts, "encoder", "decoder" or "model" (both).
        decoder_parameters: parameters of the decoder before pruning; 0 if it was not
            cut.
        decoder: kept unit indices by location name, one mapping for each layer.
        reductions: removed share of the parameters of each part that was cut.
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
    of: str = "encoder"
    decoder_parameters: int = 0
    decoder: list[dict[str, str]] = dataclasses.field(default_factory=list)
    reductions: dict[str, float] = dataclasses.field(default_factory=dict)

    @classmethod
    def from_keep(
        cls,
        table: UnitTable,
        keep: torch.Tensor,
        criterion: str,
        target: Any,
        cost: Cost | None = None,
        parts: Sequence[tuple[UnitTable, torch.Tensor]] | None = None,
    ) -> PruningPlan:
        """Describe which units are kept.

        Args:
            table: unit table of what the target counts.
            keep: which of its units stay, without unused ones, bool (units,).
            criterion: name of the criterion.
            target: share to remove that was asked for, or None.
            cost: cost that the target is a share of; None takes the parameters.
            parts: table and kept units of each part that is cut; None: ``table`` is
                the only one.
        """
        cost = cost or table.parameters
        parts = [(table, keep)] if parts is None else parts
        totals = {part.name: int(part.parameters.total) for part, _ in parts}
        plan = cls(
            criterion,
            target,
            cost.name,
            table.reduction(keep, cost),
            table.reduction(keep),
            totals.get("encoder", 0),
            sum(part.removed(kept) for part, kept in parts),
            [],
            of=table.name,
            decoder_parameters=totals.get("decoder", 0),
            reductions={part.name: part.reduction(kept) for part, kept in parts},
        )
        for part, kept in parts:
            first, *blocks = describe_groups(part, functools.partial(_ranges, kept))
            if part.name == "encoder":
                plan.input_layer, plan.blocks = first, blocks
            else:
                plan.decoder = blocks
        return plan

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
            ranges = self._owner(group).get(group.location_spec.width_name)
            if ranges is None:  # a location that the plan's release did not have
                keep[group.span] = True
                continue
            kept = torch.tensor(parse_indices(ranges), dtype=torch.long)
            keep[group.start + kept] = True
        return keep

    def _owner(self, group: UnitGroup) -> dict[str, str]:
        """The entry of a block or layer, or of the input layer."""
        if group.block is None:
            return self.input_layer
        layers = self.blocks if group.stack == "encoder" else self.decoder
        return layers[group.block]


def _ranges(keep: torch.Tensor, group: UnitGroup) -> str:
    return kept_ranges(group, keep)
