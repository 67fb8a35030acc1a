"""A trained experiment, opened once for everything that pruning reads of it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from espnet_adaptive_dropout.control.config import AdaptiveDropoutConfig
from espnet_adaptive_dropout.experiments.checkpoint import (
    is_gate_weight,
    without_gates,
)
from espnet_adaptive_dropout.experiments.encoder_entry import (
    StackEntry,
    decoder_entry,
    encoder_entry,
)
from espnet_adaptive_dropout.experiments.experiment import (
    build_model,
    load_weights,
)
from espnet_adaptive_dropout.modules.attention import forget_weights
from espnet_adaptive_dropout.modules.gate import SATURATED_LOGIT
from espnet_adaptive_dropout.pruning.part import Part, Section
from espnet_adaptive_dropout.units.cost import Cost
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
        of: what a target counts, one of ``part.OF``.
    """

    task: type
    config: dict[str, Any]
    state: dict[str, torch.Tensor]
    model_file: Path
    data: list[str] | None = None
    device: str = "cpu"
    of: str = "encoder"

    @property
    def encoder_entry(self) -> StackEntry:
        """The encoder entry of the training config."""
        return encoder_entry(self.config)

    @functools.cached_property
    def parts(self) -> list[Part]:
        """The parts that may lose units, the encoder first.

        These are the ones that the target counts, and those that were trained with
        adaptive dropout.
        """
        entries = (encoder_entry(self.config), decoder_entry(self.config))
        return [
            Part(entry, self.config, self.state)
            for entry in entries
            if self.of in (entry.kind, "model") or entry.is_adaptive(self.config)
        ]

    def part(self, kind: str) -> Part | None:
        """Return the "encoder" or the "decoder"; None if it loses nothing."""
        return next((part for part in self.parts if part.kind == kind), None)

    @property
    def is_adaptive(self) -> bool:
        """Whether the model was trained with adaptive dropout."""
        return any(part.is_adaptive for part in self.parts)

    @property
    def was_joint(self) -> bool:
        """Whether encoder and decoder were trained to one target."""
        joint = [part for part in self.parts if part.options.of == "model"]
        return len(joint) > 1

    @property
    def options(self) -> AdaptiveDropoutConfig:
        """``adaptive_dropout_conf`` of what the target counts; the defaults without."""
        counted = [part for part in self.parts if self.of in (part.kind, "model")]
        adaptive = [part for part in counted if part.is_adaptive]
        return (adaptive or counted)[0].options

    @functools.cached_property
    def model(self) -> torch.nn.Module:
        """The full-width model, in evaluation mode, with a gate at every location.

        It shares its weights with ``state``; its gates are as :func:`set_masks` last
        set them. It is built on first use.

        Raises:
            ValueError: config and checkpoint do not match.
        """
        gated = self.config
        for part in self.parts:
            # Control "schedule" has no target that could be above the bound.
            conf = {"control": "schedule", "locations": "all"}
            options = part.entry.options(gated)
            options["adaptive_dropout_conf"] = conf
            gated = part.entry.replaced(gated, part.entry.adaptive, options, self.task)
        model = build_model(self.task, gated)
        weights = without_gates(self.state)
        for key, value in model.state_dict().items():
            if is_gate_weight(key):
                weights[key] = value
        load_weights(model, weights, str(self.model_file))
        forget_weights(model)
        return model

    @functools.cached_property
    def whole(self) -> Section:
        """All parts together, in whose order ``keep`` and scores are."""
        return Section(self.parts, self.model)

    @property
    def table(self) -> UnitTable:
        """Unit table of the full-width parts."""
        return self.whole.table

    def sections(self, together: bool = False) -> list[Section]:
        """Return the parts as they are ranked: each alone, or all together.

        Args:
            together: whether the units of all parts compete.
        """
        if together:
            return [self.whole]
        sections: list[Section] = []
        for part in self.parts:
            start = sections[-1].span.stop if sections else 0
            sections.append(Section([part], self.model, start))
        return sections

    @property
    def counted(self) -> Section:
        """What a target counts, alone or all parts together."""
        alone = (section for section in self.sections() if section.name == self.of)
        return next(alone, self.whole)

    def by_part(self, keep: torch.Tensor) -> Iterator[tuple[Part, UnitTable, Any]]:
        """Yield each part with its table and its units of ``keep``, bool (units,)."""
        start = 0
        for part, table in zip(self.parts, self.whole.tables):
            yield part, table, keep[start : start + table.num_units]
            start += table.num_units

    def cost(self, name: str | None = None, frames: int | None = None) -> Cost:
        """Return the cost of all parts, see :meth:`Section.cost`.

        Args:
            name: "parameters" or "macs"; None takes the cost of the training.
            frames: input frames of the utterance whose MACs are counted; None takes
                the number of the training.
        """
        return self.whole.cost(name, cost_frames=frames)

    def key(self, group: UnitGroup, name: str) -> str:
        """Return the key in ``state`` of tensor ``name`` of a unit group's module."""
        return self._part_of(group).key(group, name)

    def learnt_logits(self, group: UnitGroup) -> torch.Tensor | None:
        """Return the group's learned logits, (units,); None without a gate."""
        return self._part_of(group).learnt_logits(group)

    def _part_of(self, group: UnitGroup) -> Part:
        return next(part for part in self.parts if part.kind == group.stack)

    def own_keep(self) -> torch.Tensor:
        """Return the units that the trained gates keep (p > 0.5), bool (units,)."""
        return self.whole.own_keep()

    def as_trained(self) -> torch.nn.Module:
        """Return the model with the gates as the training left them."""
        set_masks(self.table, self.own_keep())
        return self.model


def set_masks(table: UnitTable, keep: torch.Tensor) -> None:
    """Set all gates: the units of ``keep``, bool (units,), stay, the others go."""
    decided = torch.where(keep, SATURATED_LOGIT, -SATURATED_LOGIT)
    table.set_logits(decided[table.gated()])
