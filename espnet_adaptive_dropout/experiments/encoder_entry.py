"""The encoder entry of a training config, and the prefix of the encoder's weights.

Most tasks have ``encoder`` and ``encoder_conf``. ``enh_s2t`` puts a whole model for
the second task behind an enhancement model: ``asr_encoder`` in the config is
``s2t_model.encoder`` in the model.
"""

from __future__ import annotations

import copy
import dataclasses
import sys
from collections.abc import Mapping
from typing import Any

import torch

ADAPTIVE = "adaptive_dropout_conformer"
COMPACT = "compact_conformer"
# The model with the penalty, in the model registries of ESPnet's tasks
MODEL = "adaptive_dropout"
# What a pruned experiment's config calls it: ESPnet knows it by this name too, and
# where the plugin is missing, "--encoder must be one of ..." ends in it.
EXPORTED = f"espnet_adaptive_dropout.{COMPACT}"
# What enh_s2t can have behind the enhancement.
_SECOND_TASKS = ("asr", "st", "diar")


@dataclasses.dataclass(frozen=True)
class EncoderEntry:
    """The option and the prefix of an encoder.

    Args:
        option: option of the training config, for example "encoder" or
            "asr_encoder".
        prefix: prefix of the weights in the model's state, "encoder." or
            "s2t_model.encoder.".
    """

    option: str
    prefix: str

    @property
    def conf(self) -> str:
        """The option with the encoder's options."""
        return f"{self.option}_conf"

    def options(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The encoder's options, a new dict.

        Raises:
            ValueError: the config has something else there.
        """
        options = config.get(self.conf) or {}
        if not isinstance(options, Mapping):
            raise ValueError(
                f"{self.conf}={options!r} is not a mapping of options, such as "
                f"'output_size: 256'"
            )
        return dict(options)

    def adaptive_conf(self, config: Mapping[str, Any]) -> dict[str, Any] | None:
        """``adaptive_dropout_conf`` among the encoder's options; None without one."""
        return self.options(config).get("adaptive_dropout_conf")

    def with_encoder(
        self, config: Mapping[str, Any], name: str, options: Mapping[str, Any]
    ) -> dict[str, Any]:
        """A deep copy of ``config`` with another encoder."""
        new = copy.deepcopy(dict(config))
        new[self.option] = name
        new[self.conf] = copy.deepcopy(dict(options))
        return new


def encoder_entry(config: Mapping[str, Any]) -> EncoderEntry:
    """The encoder entry of a training config.

    Args:
        config: contents of a config.yaml, or ``vars`` of parsed arguments.
    """
    for subtask in config.get("subtask_series") or []:
        if subtask in _SECOND_TASKS:
            return EncoderEntry(f"{subtask}_encoder", "s2t_model.encoder.")
    return EncoderEntry("encoder", "encoder.")


def recogniser(model: torch.nn.Module) -> torch.nn.Module:
    """The part of an ESPnet model that has the encoder, mostly the model itself."""
    return getattr(model, "s2t_model", model)


def main_encoder(model: torch.nn.Module) -> torch.nn.Module:
    """The encoder of an ESPnet model."""
    return recogniser(model).encoder


def stock_model_name(task: type) -> str:
    """The model of a task's registry that ``adaptive_dropout`` adds the penalty to.

    Args:
        task: ESPnet task class; one without a registry of models gives "espnet".
    """
    registry = getattr(sys.modules[task.__module__], "model_choices", None)
    return getattr(registry, "default", None) or "espnet"
