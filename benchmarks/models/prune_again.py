"""``bin.prune`` with one more criterion, for models that were cut before.

``survivor_magnitude`` is ``magnitude`` relative to the mean of the units that are
still there: with the cut ones counted in, as zeros, the survivors of a group that
has lost much would look important. ``python -m benchmarks.models.prune_again``.
"""

from __future__ import annotations

import torch

from espnet_adaptive_dropout.bin.command import CommandLine
from espnet_adaptive_dropout.units.table import UnitTable


def survivor_mean(table: UnitTable, scores: torch.Tensor) -> torch.Tensor:
    """Relate scores, (units,), that are relative to their groups' means over all
    units, to the means over the units that are not zero."""
    scores = scores.clone()
    for group in table.groups:
        scores[group.span] *= (scores[group.span] > 0).float().mean()
    return scores


def main(cmd: CommandLine = None) -> None:
    """Register the criterion, then run ``bin.prune``."""
    from espnet_adaptive_dropout.bin import prune
    from espnet_adaptive_dropout.pruning.criteria import Magnitude, criterion_choices

    class SurvivorMagnitude(Magnitude):
        """Norm of a unit's weights relative to the mean of its group's survivors."""

        def __call__(self, table, trained):
            scores, candidates = super().__call__(table, trained)
            return survivor_mean(table, scores), candidates

    criterion_choices.classes["survivor_magnitude"] = SurvivorMagnitude
    prune.main(cmd)


if __name__ == "__main__":
    main()
