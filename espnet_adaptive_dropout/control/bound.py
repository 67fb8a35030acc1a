"""Refuses sizes that the chosen locations cannot give, before the training."""

from __future__ import annotations

from typing import Sequence

from espnet_adaptive_dropout.control.config import AdaptiveDropoutConfig
from espnet_adaptive_dropout.units.cost import Cost
from espnet_adaptive_dropout.units.table import UnitTable


def check_bound(
    config: AdaptiveDropoutConfig, sizes: Sequence[float], table: UnitTable, cost: Cost
) -> None:
    """Check the sizes of a training.

    Args:
        config: of the gates, for the message.
        sizes: shares of the encoder's cost to remove.
        table: the encoder's units.
        cost: what is counted.

    Raises:
        ValueError: one is above the bound; the message has that of each location.
    """
    chosen = {group.location for group in table.gated_groups()}
    bounds = table.bounds(sorted(chosen), cost)
    for size in sizes:
        if size <= bounds["all"]:
            continue
        each = ", ".join(
            f"{name} {bound:.1%}" for name, bound in bounds.items() if name != "all"
        )
        more = "" if config.locations == "all" else " or take 'locations: all'"
        option = "target_reduction" if size == config.target_reduction else "family"
        raise ValueError(
            f"adaptive_dropout_conf.{option}={size:.1%} is above what the "
            f"locations can give, {bounds['all']:.1%} of the encoder's "
            f"{cost.name} ({each}); ask for less{more}"
        )
