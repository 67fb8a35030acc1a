"""How units are ranked. The registry is an ESPnet ClassChoices: add your own to
``criterion_choices.classes``.

A criterion is built from ``--criterion_conf`` and called with the unit table, the
model's weights and the training config; it returns the importance of every unit and
which units it may remove.
"""

from __future__ import annotations

from typing import Any, Dict, List, Tuple

import torch
from espnet2.train.class_choices import ClassChoices

from espnet_adaptive_dropout.locations import LOCATIONS
from espnet_adaptive_dropout.units import UnitGroup, UnitTable

Scores = Tuple[torch.Tensor, torch.Tensor]


class Criterion:
    """Ranks units.

    Args:
        prefix: of the encoder's keys.
    """

    needs_target = True

    def __init__(self, prefix: str = "encoder."):
        self.prefix = prefix

    def __call__(
        self, table: UnitTable, state: Dict[str, torch.Tensor], config: Dict[str, Any]
    ) -> Scores:
        """Return scores, float32 (units,), larger stays longer, and candidates,
        bool (units,).

        Raises:
            ValueError: the checkpoint lacks what the criterion reads.
        """
        raise NotImplementedError

    def module_key(self, group: UnitGroup) -> str:
        """Prefix of the weights of the module that ``group`` belongs to."""
        module = LOCATIONS[group.location].module
        return f"{self.prefix}encoders.{group.block}.{module}."


class Retention(Criterion):
    """The learned logits of the retention probabilities (ours)."""

    needs_target = False

    def __call__(self, table, state, config) -> Scores:
        options = config["encoder_conf"].get("adaptive_dropout_conf") or {}
        scale = options.get("logit_scale") or 1.0
        scores = torch.zeros(table.units)
        candidates = torch.zeros(table.units, dtype=torch.bool)
        for group in table.groups:
            gate = LOCATIONS[group.location].gate
            key = f"{self.module_key(group)}{gate}.scaled_logits"
            if key in state:
                scores[group.row] = state[key].float() * scale
                candidates[group.row] = True
        if not candidates.any():
            raise ValueError(
                "the checkpoint has no gates, which '--criterion retention' needs; "
                "train with 'encoder: adaptive_dropout_conformer', or choose another "
                "criterion"
            )
        return scores, candidates


class _Everywhere(Criterion):
    """Ranks the units of the chosen locations of any checkpoint.

    Args:
        locations: names of locations; None takes all.
    """

    def __init__(self, locations: List[str] = None, prefix: str = "encoder."):
        super().__init__(prefix)
        for name in locations or []:
            if name not in LOCATIONS:
                raise ValueError(
                    f"unknown location {name!r} in --criterion_conf locations; "
                    f"known are {', '.join(LOCATIONS)}"
                )
        self.locations = locations

    def candidates(self, table: UnitTable) -> torch.Tensor:
        chosen = set(self.locations or LOCATIONS)
        return torch.cat(
            [torch.full((g.units,), g.location in chosen) for g in table.groups]
        )


class Magnitude(_Everywhere):
    """Norm of all weights that go with a unit, relative to the mean of its group.

    Args:
        norm: 1 or 2.
        locations: names of locations; None takes all.
    """

    def __init__(
        self, norm: int = 2, locations: List[str] = None, prefix: str = "encoder."
    ):
        super().__init__(locations, prefix)
        if norm not in (1, 2):
            raise ValueError(f"--criterion_conf norm={norm}: must be 1 or 2")
        self.norm = norm

    def __call__(self, table, state, config) -> Scores:
        scores = torch.zeros(table.units)
        for group in table.groups:
            total = torch.zeros(group.units)
            for name, axis in LOCATIONS[group.location].slices:
                tensor = state.get(self.module_key(group) + name)
                if tensor is None:
                    continue
                rows = tensor.float().movedim(axis, 0).reshape(group.units, -1)
                total += rows.abs().pow(self.norm).sum(dim=1)
            size = total.pow(1.0 / self.norm)
            scores[group.row] = size / size.mean().clamp(min=1e-12)
        return scores, self.candidates(table)


class Random(_Everywhere):
    """A random order: the baseline that any criterion has to beat.

    Args:
        seed: of the order.
        locations: names of locations; None takes all.
    """

    def __init__(
        self, seed: int = 0, locations: List[str] = None, prefix: str = "encoder."
    ):
        super().__init__(locations, prefix)
        self.seed = seed

    def __call__(self, table, state, config) -> Scores:
        generator = torch.Generator().manual_seed(self.seed)
        return torch.rand(table.units, generator=generator), self.candidates(table)


criterion_choices = ClassChoices(
    "criterion",
    classes=dict(retention=Retention, magnitude=Magnitude, random=Random),
    type_check=Criterion,
    default="retention",
)
