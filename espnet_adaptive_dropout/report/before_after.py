"""Costs of an encoder at full width, pruned, and with all that can go gone."""

from __future__ import annotations

import copy
from typing import Any, Dict, Optional, Tuple

import torch

from espnet_adaptive_dropout.experiment import build_model
from espnet_adaptive_dropout.pruning.count import MAC_SECONDS
from espnet_adaptive_dropout.pruning.features import noise_inputs
from espnet_adaptive_dropout.pruning.plan import block_widths
from espnet_adaptive_dropout.pruning.prune import ADAPTIVE, compact_experiment_config
from espnet_adaptive_dropout.report.costs import Costs, measure_costs
from espnet_adaptive_dropout.units import UnitTable

# Names of the encoders that are compared.
BEFORE, AFTER, FLOOR = "before", "after", "floor"


def compare_costs(
    task: type,
    config: Dict[str, Any],
    pruned_config: Optional[Dict[str, Any]],
    rounds: int,
) -> Tuple[Dict[str, Costs], float]:
    """Measure the encoders of an experiment on ten seconds of noise.

    Costs depend on the architecture alone: no weights are read.

    Args:
        task: ESPnet task class.
        config: of the full-width experiment, stock or with adaptive dropout.
        pruned_config: of the compact one, if there is one.
        rounds: of the time measurement; 0: none.

    Returns:
        Costs of "before" (the stock encoder), "after" and "floor" (the encoder with
        every unit that can be pruned gone), and the share of the encoder's
        parameters that cannot be pruned.

    Raises:
        ValueError: ESPnet or one of our encoders refuses a config.
    """
    model = build_model(task, stock_experiment_config(config))
    table = UnitTable(model.encoder)
    encoders = {BEFORE: model.encoder}
    if pruned_config is not None:
        encoders[AFTER] = build_model(task, pruned_config).encoder
    nothing = torch.zeros(table.units, dtype=torch.bool)
    floor = compact_experiment_config(config, block_widths(table, nothing))
    encoders[FLOOR] = build_model(task, floor).encoder
    inputs = noise_inputs(model, MAC_SECONDS)
    costs = measure_costs(encoders, inputs, rounds)
    return costs, 1.0 - table.bounds()["all"]


def stock_experiment_config(config: Dict[str, Any]) -> Dict[str, Any]:
    """The same experiment with ESPnet's own encoder, which has no gates."""
    if config["encoder"] not in (ADAPTIVE, "conformer"):
        raise ValueError(
            f"'encoder: {config['encoder']}' is not a full-width Conformer; --exp "
            f"takes the experiment that was trained at full width"
        )
    new = copy.deepcopy(config)
    new["encoder"] = "conformer"
    new["encoder_conf"] = dict(new.get("encoder_conf") or {})
    new["encoder_conf"].pop("adaptive_dropout_conf", None)
    if new.get("model") == "adaptive_dropout":
        new["model"] = "espnet"
    return new
