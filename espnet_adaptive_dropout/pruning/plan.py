"""Which units stay: the result of a criterion, written beside the pruned model."""

from __future__ import annotations

import dataclasses
from typing import Any, Dict, List, Optional

import torch

from espnet_adaptive_dropout.cost import Cost
from espnet_adaptive_dropout.units import UnitTable
from espnet_adaptive_dropout.widths import BlockWidths, format_indices, parse_indices


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
    """

    criterion: str
    target_reduction: Any
    cost: str
    cost_reduction: float
    reduction: float
    encoder_parameters: int
    removed_parameters: int
    blocks: List[Dict[str, str]]

    @classmethod
    def from_keep(
        cls,
        table: UnitTable,
        keep: torch.Tensor,
        criterion: str,
        target: Any,
        cost: Optional[Cost] = None,
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
        blocks: List[Dict[str, str]] = [
            {} for _ in range(max(group.block for group in table.groups) + 1)
        ]
        for group in table.groups:
            kept = keep[group.row].nonzero().flatten().tolist()
            blocks[group.block][group.location] = format_indices(kept)
        return cls(
            criterion,
            target,
            cost.name,
            table.reduction(keep, cost),
            table.reduction(keep),
            int(table.parameters.total),
            table.removed(keep),
            blocks,
        )

    @classmethod
    def from_dict(cls, options: Dict[str, Any]) -> PruningPlan:
        """Read what :meth:`to_dict` gives."""
        return cls(**options)

    def to_dict(self) -> Dict[str, Any]:
        """For YAML."""
        return dataclasses.asdict(self)

    def keep(self, table: UnitTable) -> torch.Tensor:
        """The kept units as a row of ``table``, bool (units,)."""
        keep = torch.zeros(table.units, dtype=torch.bool)
        for group in table.groups:
            kept = parse_indices(self.blocks[group.block][group.location])
            keep[group.start + torch.tensor(kept, dtype=torch.long)] = True
        return keep


def block_widths(table: UnitTable, keep: torch.Tensor) -> List[Dict[str, Any]]:
    """``encoder_conf.widths`` of the compact encoder that keeps ``keep``."""
    blocks: Dict[int, Dict[str, Any]] = {}
    for group in table.groups:
        kept = keep[group.row]
        if group.location == "conv_input":
            width: Any = format_indices(kept.nonzero().flatten().tolist())
        elif group.location in ("query", "value"):
            width = kept.view(group.heads, -1).sum(dim=1).tolist()
        else:
            width = int(kept.sum())
        blocks.setdefault(group.block, {})[group.location] = width
    return [BlockWidths(**blocks[index]).to_dict() for index in sorted(blocks)]
