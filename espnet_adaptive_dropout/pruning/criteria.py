"""How units are ranked. The registry is an ESPnet ClassChoices: add your own
:class:`~espnet_adaptive_dropout.pruning.criterion.Criterion` to
``criterion_choices.classes``.
"""

from __future__ import annotations

from typing import List, Optional

import torch
from espnet2.train.class_choices import ClassChoices

from espnet_adaptive_dropout.pruning.criterion import (
    Criterion,
    EverywhereCriterion,
    Scores,
    relative_to_group,
)
from espnet_adaptive_dropout.pruning.taylor import Taylor
from espnet_adaptive_dropout.pruning.trained import Trained
from espnet_adaptive_dropout.units.table import UnitTable


class Retention(Criterion):
    """The learned logits of the retention probabilities (ours)."""

    needs_target = False

    def __call__(self, table: UnitTable, trained: Trained) -> Scores:
        scores = torch.zeros(table.units)
        candidates = torch.zeros(table.units, dtype=torch.bool)
        for group in table.groups:
            logits = trained.learnt_logits(group)
            if logits is not None:
                scores[group.row] = logits.float()
                candidates[group.row] = True
        if not candidates.any():
            raise ValueError(
                "the checkpoint has no gates, which '--criterion retention' needs; "
                "train with 'encoder: adaptive_dropout_conformer', or choose another "
                "criterion"
            )
        return scores * (trained.options.logit_scale or 1.0), candidates


class Magnitude(EverywhereCriterion):
    """Norm of all weights that go with a unit, relative to the mean of its group.

    Args:
        norm: 1 or 2.
        locations: names of locations; None takes the paper's.

    Raises:
        ValueError: an option is out of range.
    """

    def __init__(self, norm: int = 2, locations: Optional[List[str]] = None):
        super().__init__(locations)
        if norm not in (1, 2):
            raise ValueError(f"--criterion_conf norm={norm}: must be 1 or 2")
        self.norm = norm

    def __call__(self, table: UnitTable, trained: Trained) -> Scores:
        scores = torch.zeros(table.units)
        for group in table.groups:
            for part in group.place.slices:
                tensor = trained.state.get(trained.key(group, part.name))
                if tensor is None or "running" in part.name:
                    continue
                entries = part.by_unit(tensor.float(), group.units)
                scores[group.row] += entries.abs().pow(self.norm).sum(dim=1)
        sizes = scores.pow(1.0 / self.norm)
        return relative_to_group(table, sizes), self.candidates(table)


class Random(EverywhereCriterion):
    """A random order: the baseline that any criterion has to beat.

    Args:
        seed: of the order.
        locations: names of locations; None takes the paper's.
    """

    def __init__(self, seed: int = 0, locations: Optional[List[str]] = None):
        super().__init__(locations)
        self.seed = seed

    def __call__(self, table: UnitTable, trained: Trained) -> Scores:
        generator = torch.Generator().manual_seed(self.seed)
        return torch.rand(table.units, generator=generator), self.candidates(table)


criterion_choices = ClassChoices(
    "criterion",
    classes=dict(
        retention=Retention, magnitude=Magnitude, taylor=Taylor, random=Random
    ),
    type_check=Criterion,
    default="retention",
)
