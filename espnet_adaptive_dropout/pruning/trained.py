"""A trained experiment, opened once for everything that pruning reads of it."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

import torch

from espnet_adaptive_dropout.control.config import AdaptiveDropoutConfig
from espnet_adaptive_dropout.experiments.checkpoint import (
    is_gate_weight,
    without_gates,
)
from espnet_adaptive_dropout.experiments.encoder_entry import (
    ADAPTIVE,
    StackEntry,
    encoder_entry,
    main_encoder,
)
from espnet_adaptive_dropout.experiments.experiment import (
    build_model,
    load_weights,
)
from espnet_adaptive_dropout.modules.gate import SATURATED_LOGIT
from espnet_adaptive_dropout.units.cost import Cost, mac_cost, zero_inputs
from espnet_adaptive_dropout.units.group import UnitGroup
from espnet_adaptive_dropout.units.table import UnitTable


@dataclasses.dataclass
class Trained:
    """A trained experiment, which criteria read.

    Args:
        task: ESPnet task class.
        config: training config.
        state: weights of the checkpoint; not to be changed.
        model_file: path of the checkpoint.
        data: "path,name,type" triplets given by the user, or None.
        device: where a criterion may run the model, "cpu" or "cuda".
    """

    task: type
    config: dict[str, Any]
    state: dict[str, torch.Tensor]
    model_file: Path
    data: list[str] | None = None
    device: str = "cpu"

    @property
    def encoder_entry(self) -> StackEntry:
        """The encoder entry of the training config."""
        return encoder_entry(self.config)

    @property
    def is_adaptive(self) -> bool:
        """Whether the model was trained with adaptive dropout."""
        return self.config[self.encoder_entry.option] == ADAPTIVE

    @property
    def options(self) -> AdaptiveDropoutConfig:
        """``adaptive_dropout_conf`` of the training; the defaults if it has none."""
        conf = self.encoder_entry.adaptive_conf(self.config)
        return AdaptiveDropoutConfig.from_dict(conf)

    @property
    def frozen(self) -> float | None:
        """1.0 after the freeze of the size, 0.0 before; None if it is unknown.

        An average of checkpoints from before and after the freeze has a value between.
        """
        frozen = self.state.get(self.encoder_entry.prefix + "control.frozen")
        return None if frozen is None else float(frozen)

    @functools.cached_property
    def model(self) -> torch.nn.Module:
        """The full-width model, in evaluation mode, with a gate at every location.

        It shares its weights with ``state``; its gates are as :func:`set_masks` last
        set them. It is built on first use.

        Raises:
            ValueError: config and checkpoint do not match.
        """
        # Control "schedule" has no target that could be above the bound.
        options = self.encoder_entry.options(self.config)
        conf = {"control": "schedule", "locations": "all"}
        options["adaptive_dropout_conf"] = conf
        entry = self.encoder_entry
        gated = entry.replaced(self.config, ADAPTIVE, options, self.task)
        model = build_model(self.task, gated)
        weights = without_gates(self.state)
        for key, value in model.state_dict().items():
            if is_gate_weight(key):
                weights[key] = value
        load_weights(model, weights, str(self.model_file))
        return model

    @property
    def table(self) -> UnitTable:
        """Unit table of the full-width encoder."""
        return main_encoder(self.model).units

    def cost(self, name: str | None = None, frames: int | None = None) -> Cost:
        """Return the cost that a size is a share of.

        Args:
            name: "parameters" or "macs"; None takes the cost of the training.
            frames: input frames of the utterance whose MACs are counted; None takes
                the number of the training.
        """
        if (name or self.options.cost) == "parameters":
            return self.table.parameters
        encoder = main_encoder(self.model)
        inputs = zero_inputs(
            encoder, encoder.input_size, frames or self.options.cost_frames
        )
        return mac_cost(encoder, self.table.groups, inputs)

    def key(self, group: UnitGroup, name: str) -> str:
        """Return the key in ``state`` of tensor ``name`` of a unit group's module."""
        return self.encoder_entry.prefix + group.key(name)

    def learnt_logits(self, group: UnitGroup) -> torch.Tensor | None:
        """Return the group's learned logits, (units,); None without a gate."""
        return self.state.get(self.key(group, f"{group.location_spec.gate}.logits"))

    def own_keep(self) -> torch.Tensor:
        """Return the units that the trained gates keep (p > 0.5), bool (units,)."""
        keep = torch.ones(self.table.num_units, dtype=torch.bool)
        for group in self.table.groups:
            logits = self.learnt_logits(group)
            if logits is not None:
                keep[group.span] = logits > 0
        return self.table.without_unused(keep)

    def as_trained(self) -> torch.nn.Module:
        """Return the model with the gates as the training left them."""
        set_masks(self.table, self.own_keep())
        return self.model


def set_masks(table: UnitTable, keep: torch.Tensor) -> None:
    """Set all gates: the units of ``keep``, bool (units,), stay, the others go."""
    decided = torch.where(keep, SATURATED_LOGIT, -SATURATED_LOGIT)
    table.set_logits(decided[table.gated()])
