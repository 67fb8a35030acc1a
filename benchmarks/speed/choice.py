"""Which units a trained encoder would have kept, where none has been trained.

The time that an encoder takes depends on how many units every block and head kept,
not on the weights. Even widths would be too kind to unequal heads, so the choice has
the shape of a real one: the share that each location of each block kept in a training
of the toy corpus (three blocks, 54 % removed), stretched over the depth.
"""

from __future__ import annotations

from typing import List, Optional

import numpy
import torch

from espnet_adaptive_dropout.units.table import UnitTable

# Location -> share of its units kept in the first, middle and last block. Locations
# that the training did not gate follow their neighbours in the same module.
KEPT = {
    "ffn_macaron": (0.01, 0.18, 0.42),
    "query": (0.07, 0.52, 0.94),
    "value": (0.13, 0.83, 0.98),
    "conv_input": (0.05, 0.98, 0.99),
    "conv_channel": (0.05, 0.98, 0.99),
    "ffn": (0.01, 0.18, 0.28),
}
_DEPTHS = (0.0, 0.5, 1.0)
# Standard deviation of a head's share, as a logit.
_HEADS = 0.5


def trained_like_scores(table: UnitTable, seed: int = 0) -> torch.Tensor:
    """Importance of every unit, (units,), as if learnt.

    A unit's score is the logit of its block's share and of its head's luck, with
    logistic noise.
    """
    generator = torch.Generator().manual_seed(seed)
    last = max(group.block or 0 for group in table.groups)
    parts: List[torch.Tensor] = []
    for group in table.groups:
        share = _share(group.location, group.block, last)
        heads = torch.randn(group.heads, 1, generator=generator) * _HEADS
        noise = torch.rand(group.num_units, generator=generator).clamp(1e-6, 1 - 1e-6)
        scores = torch.logit(noise).view(group.heads, -1) + heads * (group.heads > 1)
        parts.append(scores.flatten() + torch.logit(torch.tensor(share)))
    return torch.cat(parts)


def _share(location: str, block: Optional[int], last: int) -> float:
    if location not in KEPT:
        return 0.5
    depth = (block or 0) / last if last else 1.0
    return float(numpy.interp(depth, _DEPTHS, KEPT[location]))
