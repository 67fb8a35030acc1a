"""What a pruning criterion is, and what those for any checkpoint have in common."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from espnet_adaptive_dropout.pruning.trained import Trained
from espnet_adaptive_dropout.units.locations import by_default, expand
from espnet_adaptive_dropout.units.table import UnitTable

Scores = tuple[torch.Tensor, torch.Tensor]


class Criterion:
    """Ranks units; built from ``--criterion_conf``.

    Attributes:
        needs_target: whether the scores say how many units to keep only together
            with a target size.
    """

    needs_target = True

    def __call__(self, table: UnitTable, trained: Trained) -> Scores:
        """Rank the units.

        Returns:
            Scores, float32 (units,), of which the lowest are removed first, and
            candidates, bool (units,): the units that may be removed.

        Raises:
            ValueError: the checkpoint or the data lack what the criterion reads.
        """
        raise NotImplementedError


@dataclasses.dataclass
class EverywhereCriterion(Criterion):
    """Ranks the units of the chosen locations of any checkpoint.

    Args:
        locations: names of locations; None takes those that are gated by default.

    Raises:
        ValueError: a name is unknown.
    """

    locations: list[str] | None = None

    def __post_init__(self) -> None:
        names = self.locations
        if names is None:
            names = [*by_default("encoder"), *by_default("decoder")]
        try:
            self.locations = expand(names)
        except (TypeError, ValueError) as error:
            raise ValueError(f"--criterion_conf locations: {error}") from None

    def candidates(self, table: UnitTable) -> torch.Tensor:
        """Return the units of the chosen locations, bool (units,)."""
        return ~table.all_except(self.locations or [])


def check_whole(name: str, value: Any, least: int) -> None:
    """Check an option of a criterion.

    Raises:
        ValueError: ``value`` is not a whole number of at least ``least``.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(
            f"--criterion_conf {name}={value}: must be a whole number of at least "
            f"{least}"
        )


def relative_to_group(table: UnitTable, scores: torch.Tensor) -> torch.Tensor:
    """Return scores, (units,), divided by their mean over the location and block."""
    relative = torch.zeros_like(scores)
    for group in table.groups:
        part = scores[group.span]
        relative[group.span] = part / part.mean().clamp(min=1e-30)
    return relative
