"""Costs of an encoder at full width, pruned, and with all that can go gone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from espnet_adaptive_dropout.experiments.encoder_entry import (
    ADAPTIVE,
    adaptive_entries,
    encoder_entry,
    main_encoder,
)
from espnet_adaptive_dropout.experiments.experiment import build_model
from espnet_adaptive_dropout.experiments.features import noise_inputs
from espnet_adaptive_dropout.experiments.sizes import MAC_SECONDS
from espnet_adaptive_dropout.pruning.prune import compact_experiment_config
from espnet_adaptive_dropout.report.costs import Costs, measure_costs
from espnet_adaptive_dropout.units.table import UnitTable
from espnet_adaptive_dropout.units.widths import compact_options

# Names of the encoders that are compared.
BEFORE, AFTER, FLOOR = "before", "after", "floor"


def compare_costs(
    task: type,
    config: dict[str, Any],
    pruned_config: dict[str, Any] | None,
    rounds: int,
    gated: Sequence[str] | None = None,
) -> tuple[dict[str, Costs], float, float | None]:
    """Measure the encoders of an experiment on ten seconds of noise.

    Costs depend on the architecture alone: no weights are read.

    Args:
        task: ESPnet task class.
        config: config of the full-width experiment, stock or with adaptive dropout.
        pruned_config: config of the compact experiment, if there is one.
        rounds: rounds of the time measurement; 0: none.
        gated: locations at which the training had gates; None: it had none.

    Returns:
        Costs of "before" (the stock encoder), "after" and "floor" (the encoder with
        every unit that can be pruned gone), the share of the encoder's parameters
        that no location can remove, and the share that the gated ones cannot.

    Raises:
        ValueError: ESPnet or one of our encoders refuses a config.
    """
    config = stock_experiment_config(task, config)
    model = build_model(task, config)
    table = UnitTable(main_encoder(model))
    encoders = {BEFORE: main_encoder(model)}
    if pruned_config is not None:
        encoders[AFTER] = main_encoder(build_model(task, pruned_config))
    nothing = torch.zeros(table.num_units, dtype=torch.bool)
    options = compact_options(table, nothing)
    floor = compact_experiment_config(config, options, task)
    encoders[FLOOR] = main_encoder(build_model(task, floor))
    inputs = noise_inputs(model, MAC_SECONDS)
    costs = measure_costs(encoders, inputs, rounds)
    ungated = None if gated is None else 1.0 - table.bounds(gated)["all"]
    return costs, 1.0 - table.bounds()["all"], ungated


def stock_experiment_config(task: type, config: dict[str, Any]) -> dict[str, Any]:
    """The same experiment with ESPnet's own encoder and decoder, without gates."""
    entry = encoder_entry(config)
    if config[entry.option] not in (ADAPTIVE, "conformer"):
        raise ValueError(
            f"'{entry.option}: {config[entry.option]}' is not a full-width Conformer; "
            f"--exp takes the experiment that was trained at full width"
        )
    for part in (entry, *adaptive_entries(config)):
        config = part.replaced(config, part.stock, part.stock_options(config), task)
    return config
