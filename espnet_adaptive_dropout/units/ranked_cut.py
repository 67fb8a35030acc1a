"""The cut: the lowest-ranked units go until the size is what was asked for."""

from __future__ import annotations

from typing import Optional

import torch

from espnet_adaptive_dropout.units.cost import Cost
from espnet_adaptive_dropout.units.table import UnitTable


def ranked_cut(
    table: UnitTable,
    scores: torch.Tensor,
    candidates: torch.Tensor,
    target_reduction: float,
    cost: Optional[Cost] = None,
) -> torch.Tensor:
    """Keep the best units so that the size comes as near to the target as it can.

    Units go in the order of their scores. Where the next one would take too much
    with it (the last value unit of a head voids the head's queries) it stays and
    those after it make up the size, or it goes and the best of those before it are
    taken back, save units of score minus infinity.

    Args:
        table: of the encoder.
        scores: importance of every unit, (units,); larger stays longer.
        candidates: which units may go, bool (units,).
        target_reduction: share of the encoder's cost to remove.
        cost: what is counted; None counts parameters.

    Returns:
        Which units stay, closed, bool (units,).

    Raises:
        ValueError: the candidates cannot give that much; the message has the bound.
    """
    cost = cost or table.parameters
    order = torch.argsort(scores.masked_fill(~candidates, float("inf")), stable=True)
    order = order[: int(candidates.sum())]

    def keep_after(removed: int) -> torch.Tensor:
        keep = torch.ones(table.num_units, dtype=torch.bool)
        keep[order[:removed]] = False
        return keep

    bound = table.reduction(~candidates, cost)
    if target_reduction > bound:
        raise ValueError(
            f"target_reduction={target_reduction:.3f} is more than these locations "
            f"can give ({bound:.3f} of the encoder's {cost.name}); ask for less or "
            f"add locations"
        )
    low, high = 0, len(order)
    while low < high:
        middle = (low + high + 1) // 2
        if table.reduction(keep_after(middle), cost) <= target_reduction:
            low = middle
        else:
            high = middle - 1
    below, above = keep_after(low), keep_after(low + 1)
    back = order[: low + 1].flip(0)
    back = back[scores[back] > -float("inf")]
    ways = (
        _toggle(
            table, table.without_unused(below), order[low:], target_reduction, cost
        ),
        _toggle(table, table.without_unused(above), back, target_reduction, cost),
    )
    return min(ways, key=lambda k: abs(table.reduction(k, cost) - target_reduction))


def _toggle(
    table: UnitTable,
    keep: torch.Tensor,
    units: torch.Tensor,
    target: float,
    cost: Cost,
) -> torch.Tensor:
    """Remove or take back each of ``units`` that brings the size nearer."""
    finest = cost.per_unit[units].min().item() / cost.total if len(units) else 0.0
    missing = target - table.reduction(keep, cost)
    for unit in units.tolist():
        if abs(missing) <= finest / 2:
            break
        if bool(keep[unit]) != (missing > 0):
            continue
        trial = keep.clone()
        trial[unit] = not keep[unit]
        trial = table.without_unused(trial)
        still = target - table.reduction(trial, cost)
        if abs(still) < abs(missing):
            keep, missing = trial, still
    return keep


def even_scores(
    scores: torch.Tensor, candidates: torch.Tensor, pools: torch.Tensor, cost: Cost
) -> torch.Tensor:
    """Scores that cut the same share of every pool, in the order of ``scores``.

    The score of a unit is the share of its pool's cost that goes with it and with
    all lower-ranked candidates of the pool.

    Args:
        scores: importance of every unit, (units,).
        candidates: which units may go, bool (units,).
        pools: number of the pool of every unit, (units,); see ``UnitTable.pools``.
        cost: what is counted.

    Returns:
        New scores, (units,).
    """
    even = torch.zeros(len(scores), dtype=torch.float64)
    for pool in pools.unique():
        members = ((pools == pool) & candidates).nonzero().flatten()
        members = members[torch.argsort(scores[members], stable=True)]
        if len(members):
            gone = cost.per_unit[members].cumsum(dim=0)
            even[members] = gone / gone[-1]
    return even
