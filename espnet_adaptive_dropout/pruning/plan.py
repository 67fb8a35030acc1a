"""Which units stay: the result of a criterion, written beside the pruned model."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from espnet_adaptive_dropout.units.cost import Cost
from espnet_adaptive_dropout.units.table import UnitTable
from espnet_adaptive_dropout.units.widths import (
    BlockWidths,
    format_indices,
    parse_indices,
)


@dataclasses.dataclass
class PruningPlan:
    """Kept units of every location of every block.

    Args:
        criterion: name of the criterion that ranked the units.
        target_reduction: what was asked for, or None (units with p > 0.5 stay).
        cost: what was counted, "parameters" or "macs".
        cost_reduction: share of it that goes.
        reduction: share of the encoder's parameters that goes.
        encoder_parameters: of the encoder before pruning, gates not counted.
        removed_parameters: that go.
        blocks: for each block, location name -> kept unit indices as ranges.
        input_layer: the same for the input layer.
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

    @classmethod
    def from_keep(
        cls,
        table: UnitTable,
        keep: torch.Tensor,
        criterion: str,
        target: Any,
        cost: Cost | None = None,
    ) -> PruningPlan:
        """Describe a closed set of kept units, bool (units,).

        Args:
            table: of the encoder.
            keep: what stays.
            criterion: its name.
            target: see above.
            cost: what was counted; None: parameters.
        """
        cost = cost or table.parameters
        owners: dict[int | None, dict[str, str]] = {None: {}}
        for group in table.groups:
            kept = keep[group.span].nonzero().flatten().tolist()
            owners.setdefault(group.block, {})[group.location] = format_indices(kept)
        input_layer = owners.pop(None)
        return cls(
            criterion,
            target,
            cost.name,
            table.reduction(keep, cost),
            table.reduction(keep),
            int(table.parameters.total),
            table.removed(keep),
            list(owners.values()),
            input_layer,
        )

    @classmethod
    def from_dict(cls, options: dict[str, Any]) -> PruningPlan:
        """Read what :meth:`to_dict` gives."""
        return cls(**options)

    def to_dict(self) -> dict[str, Any]:
        """For YAML."""
        return dataclasses.asdict(self)

    def keep(self, table: UnitTable) -> torch.Tensor:
        """The kept units as a row of ``table``, bool (units,)."""
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


def compact_options(table: UnitTable, keep: torch.Tensor) -> dict[str, Any]:
    """Options of the compact encoder that keeps ``keep``.

    They come on top of those of the stock encoder: ``widths``, and ``subsampling`` if
    it is narrower.
    """
    blocks: dict[int | None, dict[str, Any]] = {None: {}}
    for group in table.groups:
        kept = keep[group.span]
        if group.location == "conv_input":
            width: Any = format_indices(kept.nonzero().flatten().tolist())
        elif group.location_spec.per_head:
            width = kept.view(group.heads, -1).sum(dim=1).tolist()
        else:
            width = int(kept.sum())
        blocks.setdefault(group.block, {})[group.location] = width
    channels = list(blocks.pop(None).values())
    options: dict[str, Any] = {
        "widths": [BlockWidths(**block).to_dict() for block in blocks.values()]
    }
    if not all(keep[g.span].all() for g in table.groups if g.block is None):
        options["subsampling"] = channels
    return options
