"""The encoder or the decoder of a trained experiment, of which units can go."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch

from espnet_adaptive_dropout.control.config import AdaptiveDropoutConfig
from espnet_adaptive_dropout.experiments.encoder_entry import (
    StackEntry,
    main_decoder,
    main_encoder,
)
from espnet_adaptive_dropout.units.cost import Cost
from espnet_adaptive_dropout.units.group import UnitGroup
from espnet_adaptive_dropout.units.table import UnitTable

# What a target can count
OF = ("encoder", "decoder", "model")


@dataclasses.dataclass
class Part:
    """The encoder or the decoder, as the training config and the checkpoint have it.

    Args:
        entry: its entry of the config.
        config: training config.
        state: weights of the checkpoint; not to be changed.
    """

    entry: StackEntry
    config: dict[str, Any]
    state: dict[str, torch.Tensor]

    @property
    def kind(self) -> str:
        """Return "encoder" or "decoder"."""
        return self.entry.kind

    @property
    def is_adaptive(self) -> bool:
        """Whether it was trained with adaptive dropout."""
        return self.entry.is_adaptive(self.config)

    @property
    def options(self) -> AdaptiveDropoutConfig:
        """``adaptive_dropout_conf`` of the training; the defaults if it has none."""
        conf = self.entry.adaptive_conf(self.config) if self.is_adaptive else None
        return AdaptiveDropoutConfig.from_dict(conf)

    @property
    def frozen(self) -> float | None:
        """1.0 after the freeze of the size, 0.0 before; None if it is unknown.

        An average of checkpoints from before and after the freeze has a value between.
        """
        frozen = self.state.get(self.entry.prefix + "control.frozen")
        return None if frozen is None else float(frozen)

    def stack(self, model: torch.nn.Module) -> Any:
        """Return the encoder or the decoder of an ESPnet model."""
        is_encoder = self.kind == "encoder"
        return main_encoder(model) if is_encoder else main_decoder(model)

    def key(self, group: UnitGroup, name: str) -> str:
        """Return the key in ``state`` of tensor ``name`` of a unit group's module."""
        return self.entry.prefix + group.key(name)

    def learnt_logits(self, group: UnitGroup) -> torch.Tensor | None:
        """Return the group's learned logits, (units,); None without a gate."""
        return self.state.get(self.key(group, f"{group.location_spec.gate}.logits"))


@dataclasses.dataclass
class Section:
    """Parts whose units are ranked together, and have one target.

    Args:
        parts: the encoder, the decoder, or both.
        model: the full-width model, with gates.
        start: index of the first unit among the units of all sections.
    """

    parts: Sequence[Part]
    model: torch.nn.Module
    start: int = 0

    def __post_init__(self) -> None:
        self.tables: list[UnitTable] = [p.stack(self.model).units for p in self.parts]
        several = len(self.tables) > 1
        self.table = UnitTable.joined(self.tables) if several else self.tables[0]

    @property
    def name(self) -> str:
        """Return "encoder", "decoder" or "model"."""
        return self.parts[0].kind if len(self.parts) == 1 else "model"

    @property
    def span(self) -> slice:
        """The units of the section among those of all sections."""
        return slice(self.start, self.start + self.table.num_units)

    @property
    def is_adaptive(self) -> bool:
        """Whether a part was trained with adaptive dropout."""
        return any(part.is_adaptive for part in self.parts)

    @property
    def is_frozen(self) -> bool:
        """Whether all parts were frozen to their sizes.

        Parts with one target have one control, in the encoder.
        """
        known = [part.frozen for part in self.parts if part.frozen is not None]
        return bool(known) and all(frozen == 1.0 for frozen in known)

    @property
    def options(self) -> AdaptiveDropoutConfig:
        """Options of the training: of the first part that has any."""
        adaptive = [part for part in self.parts if part.is_adaptive]
        return (adaptive or list(self.parts))[0].options

    def cost(self, name: str | None = None, **length: int | None) -> Cost:
        """Return the cost that a size is a share of.

        Args:
            name: "parameters" or "macs"; None takes the cost of the training.
            **length: ``cost_frames``, ``cost_tokens`` and ``cost_beam``, the size of
                the recognition whose MACs are counted; None takes the training's.
        """
        options = self.options
        if (name or options.cost) == "parameters":
            return self.table.parameters
        given: dict[str, Any] = {
            key: value for key, value in length.items() if value is not None
        }
        options = dataclasses.replace(options, **given)
        costs = [part.stack(self.model).mac_cost(options) for part in self.parts]
        return Cost.joined(costs) if len(costs) > 1 else costs[0]

    def own_keep(self) -> torch.Tensor:
        """Return the units that the trained gates keep (p > 0.5), bool (units,)."""
        keeps = []
        for part, table in zip(self.parts, self.tables):
            keep = torch.ones(table.num_units, dtype=torch.bool)
            for group in table.groups:
                logits = part.learnt_logits(group)
                if logits is not None:
                    keep[group.span] = logits > 0
            keeps.append(table.without_unused(keep))
        return torch.cat(keeps)
