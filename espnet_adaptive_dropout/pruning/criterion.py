"""What a pruning criterion is."""

from __future__ import annotations

from typing import List, Optional, Tuple

import torch

from espnet_adaptive_dropout.pruning.trained import Trained
from espnet_adaptive_dropout.units.locations import LOCATIONS, expand
from espnet_adaptive_dropout.units.table import UnitTable

Scores = Tuple[torch.Tensor, torch.Tensor]


class Criterion:
    """Ranks units; built from ``--criterion_conf``.

    Attributes:
        needs_target: whether the scores say how many units to keep only together
            with a target size.
    """

    needs_target = True

    def __call__(self, table: UnitTable, trained: Trained) -> Scores:
        """Return scores, float32 (units,), larger stays longer, and candidates,
        bool (units,): the units that may go.

        Raises:
            ValueError: the checkpoint or the data lack what the criterion reads.
        """
        raise NotImplementedError


class EverywhereCriterion(Criterion):
    """Ranks the units of the chosen locations of any checkpoint.

    Args:
        locations: names of locations; None takes the paper's.

    Raises:
        ValueError: a name is unknown.
    """

    def __init__(self, locations: Optional[List[str]] = None):
        if locations is None:
            names = [name for name, place in LOCATIONS.items() if place.in_paper]
        else:
            try:
                names = expand(locations)
            except ValueError as error:
                raise ValueError(f"--criterion_conf locations: {error}") from None
        self.locations = names

    def candidates(self, table: UnitTable) -> torch.Tensor:
        """The units of the chosen locations, bool (units,)."""
        return torch.cat(
            [torch.full((g.units,), g.location in self.locations) for g in table.groups]
        )


def relative_to_group(table: UnitTable, scores: torch.Tensor) -> torch.Tensor:
    """Divide scores, (units,), by their mean over the location and block."""
    relative = torch.zeros_like(scores)
    for group in table.groups:
        part = scores[group.row]
        relative[group.row] = part / part.mean().clamp(min=1e-30)
    return relative
