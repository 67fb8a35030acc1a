"""Checks before a training: its length, and the size that it is to reach."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from espnet_adaptive_dropout.control.config import AdaptiveDropoutConfig
from espnet_adaptive_dropout.units.cost import Cost
from espnet_adaptive_dropout.units.table import UnitTable

# Not logging.warning(): it would set up the root logger before ESPnet does, and ESPnet
# would log no epoch.
_logger = logging.getLogger(__name__)

# Updates in the ramp with which the expected size stays within two points of it. In
# trials it was 8 points off with half as many, 12 with a quarter.
ENOUGH_UPDATES = 64


def check_length(config: AdaptiveDropoutConfig) -> None:
    """Check that the logits have time to follow the ramp.

    Args:
        config: options of the training, with ``total_steps``.

    Raises:
        ValueError: they would not move before the freeze.
    """
    if config.control == "schedule":
        return
    updates = config.known_steps // (config.accum_grad or 1)
    end = min(config.freeze_at, 1.0)
    moves = int(end * updates) - int(config.ramp_start * updates)
    length = (
        f"total_steps={config.total_steps}, accum_grad={config.accum_grad or 1}, "
        f"ramp_start={config.ramp_start}, ramp_end={config.ramp_end}"
    )
    if moves < 1:
        raise ValueError(
            f"adaptive_dropout_conf: no update of the logits between the start of the "
            f"ramp and the freeze ({length}, freeze_at={config.freeze_at}): units "
            f"would go by chance; train longer"
        )
    in_ramp = int((config.ramp_end - config.ramp_start) * updates)
    if in_ramp < ENOUGH_UPDATES:
        _logger.warning(
            f"adaptive dropout: {in_ramp} updates in the ramp are few ({length}): "
            f"with less than {ENOUGH_UPDATES} the size lags behind, and the rest of "
            f"the units goes at once at the freeze"
        )


def check_bound(
    config: AdaptiveDropoutConfig, sizes: Sequence[float], table: UnitTable, cost: Cost
) -> None:
    """Check the sizes of a training.

    Args:
        config: options of adaptive dropout, for the message.
        sizes: shares of the encoder's cost to remove.
        table: unit table of the encoder.
        cost: cost of its units.

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
            f"locations can give, {bounds['all']:.1%} of the {table.name}'s "
            f"{cost.name} ({each}); ask for less{more}"
        )
