"""Where a config names the encoder and the decoder, and where the model holds them.

Most tasks have ``encoder`` and ``encoder_conf``. ``enh_s2t`` puts a whole model for
the second task behind an enhancement model: ``asr_encoder`` in the config is
``s2t_model.encoder`` in the model. The same holds for decoders.
"""

from __future__ import annotations

import copy
import dataclasses
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

ADAPTIVE = "adaptive_dropout_conformer"
COMPACT = "compact_conformer"
# Name of the model with the penalty, in the model registries of ESPnet's tasks
MODEL = "adaptive_dropout"
# Name of the compact encoder in the config of a pruned experiment: where the plugin is
# missing, ESPnet's message "--encoder must be one of ..." then names the package.
EXPORTED = f"espnet_adaptive_dropout.{COMPACT}"
STOCK = "conformer"
ADAPTIVE_DECODER = "adaptive_dropout_transformer"
STOCK_DECODER = "transformer"
COMPACT_DECODER = "compact_transformer"
EXPORTED_DECODER = f"espnet_adaptive_dropout.{COMPACT_DECODER}"
# Names in configs that mean a class of this package
PLUGIN_ENCODERS = {ADAPTIVE, COMPACT, EXPORTED}
PLUGIN_DECODERS = {ADAPTIVE_DECODER, COMPACT_DECODER, EXPORTED_DECODER}
PLUGIN_CLASSES = PLUGIN_ENCODERS | PLUGIN_DECODERS
# Tasks that enh_s2t can have behind the enhancement
_SECOND_TASKS = ("asr", "st", "diar")


@dataclasses.dataclass(frozen=True)
class StackEntry:
    """The option that names an encoder or a decoder, and the prefix of its weights.

    Args:
        option: option of the training config, "encoder" or for example "asr_encoder".
        prefix: prefix of the weights in the state of the model, "encoder." or
            "s2t_model.encoder.".
    """

    option: str
    prefix: str

    @property
    def kind(self) -> str:
        """Return "encoder" or "decoder"."""
        return "decoder" if self.option.endswith("decoder") else "encoder"

    @property
    def adaptive(self) -> str:
        """Name of the class with adaptive dropout."""
        return ADAPTIVE_DECODER if self.kind == "decoder" else ADAPTIVE

    @property
    def exported(self) -> str:
        """Name of the compact class in the config of a pruned experiment."""
        return EXPORTED_DECODER if self.kind == "decoder" else EXPORTED

    @property
    def stock(self) -> str:
        """Name of ESPnet's class."""
        return STOCK_DECODER if self.kind == "decoder" else STOCK

    @property
    def conf(self) -> str:
        """The config option that holds the options of the encoder or decoder."""
        return f"{self.option}_conf"

    @property
    def decoder_option(self) -> str:
        """The config option that names the decoder."""
        return self.option.replace("encoder", "decoder")

    def options(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return a new dict of the options of the encoder or decoder.

        Raises:
            ValueError: the config has no mapping there.
        """
        options = config.get(self.conf) or {}
        if not isinstance(options, Mapping):
            raise ValueError(
                f"{self.conf}={options!r} is not a mapping of options, such as "
                f"'num_blocks: 6'"
            )
        return dict(options)

    def adaptive_conf(self, config: Mapping[str, Any]) -> dict[str, Any] | None:
        """``adaptive_dropout_conf`` among the options; None without one."""
        return self.options(config).get("adaptive_dropout_conf")

    def stock_options(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options that ESPnet's own class has too."""
        options = self.options(config)
        options.pop("adaptive_dropout_conf", None)
        return options

    def is_adaptive(self, config: Mapping[str, Any]) -> bool:
        """Whether a config has adaptive dropout here."""
        return config.get(self.option) == self.adaptive

    def replaced(
        self,
        config: Mapping[str, Any],
        name: str,
        options: Mapping[str, Any],
        task: type | None = None,
    ) -> dict[str, Any]:
        """Return a deep copy of ``config`` with another encoder or decoder.

        Args:
            config: training config.
            name: name of the new one.
            options: options of the new one.
            task: ESPnet task class, whose own model replaces the one with the
                penalty; None leaves the model as it is.
        """
        new = copy.deepcopy(dict(config))
        new[self.option] = name
        new[self.conf] = copy.deepcopy(dict(options))
        if task is not None and new.get("model") == MODEL:
            new["model"] = stock_model_name(task)
        return new

    def with_compact_decoder(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return a copy of ``config`` with the compact decoder for ESPnet's.

        Raises:
            ValueError: the decoder is not ESPnet's Transformer decoder.
        """
        option = self.decoder_option
        if config.get(option) != STOCK_DECODER:
            raise ValueError(
                f"--compact_decoder true: the config has '{option}: "
                f"{config.get(option)}', and only {STOCK_DECODER} can be replaced"
            )
        return {**config, option: EXPORTED_DECODER}


def encoder_entry(config: Mapping[str, Any]) -> StackEntry:
    """Return the encoder entry of a training config.

    Args:
        config: content of a config.yaml, or ``vars`` of parsed arguments.
    """
    for subtask in config.get("subtask_series") or []:
        if subtask in _SECOND_TASKS:
            return StackEntry(f"{subtask}_encoder", "s2t_model.encoder.")
    return StackEntry("encoder", "encoder.")


def decoder_entry(config: Mapping[str, Any]) -> StackEntry:
    """Return the decoder entry of a training config; see :func:`encoder_entry`."""
    encoder = encoder_entry(config)
    prefix = encoder.prefix.replace("encoder.", "decoder.")
    return StackEntry(encoder.decoder_option, prefix)


def adaptive_entries(config: Mapping[str, Any]) -> list[StackEntry]:
    """Return the entries of a config that have adaptive dropout, the encoder first."""
    entries = (encoder_entry(config), decoder_entry(config))
    return [entry for entry in entries if entry.is_adaptive(config)]


def recogniser(model: torch.nn.Module) -> torch.nn.Module:
    """Return the part of an ESPnet model that has the encoder, mostly the model."""
    return getattr(model, "s2t_model", model)


def main_encoder(model: torch.nn.Module) -> torch.nn.Module:
    """Return the encoder of an ESPnet model."""
    return recogniser(model).encoder


def main_decoder(model: torch.nn.Module) -> torch.nn.Module | None:
    """Return the decoder of an ESPnet model; None without one."""
    return getattr(recogniser(model), "decoder", None)


def stock_model_name(task: type) -> str:
    """Return the name of the task's own model, which has no penalty.

    Args:
        task: ESPnet task class; the model of one without a registry is "espnet".
    """
    registry = getattr(sys.modules[task.__module__], "model_choices", None)
    return getattr(registry, "default", None) or "espnet"
