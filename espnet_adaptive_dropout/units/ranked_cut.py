"""The cut: the lowest-ranked units go until the size is the target."""

from __future__ import annotations

import torch

from espnet_adaptive_dropout.units.cost import Cost
from espnet_adaptive_dropout.units.table import UnitTable

# Largest share of the encoder by which a cut in the plain order may miss its target.
TOLERANCE = 5e-4


def ranked_cut(
    table: UnitTable,
    scores: torch.Tensor,
    candidates: torch.Tensor,
    target_reduction: float,
    cost: Cost | None = None,
) -> torch.Tensor:
    """Keep the best units so that the size is the target.

    There is one order of removal for all targets, see :func:`removal_order`. The
    first units of it go, as many as give the size nearest to the target. Cuts of the
    same scores to growing targets are therefore nested: what the one removes, the
    next removes too.

    Only where this misses the target by more than ``TOLERANCE`` (in a very small
    encoder, or where the last value unit of a head takes along queries that cannot
    go by themselves) do other units make up the size: units of the order that would
    overshoot stay and later ones go, or the next one goes and the best of those
    before it stay, whichever comes nearer.

    Args:
        table: unit table of the encoder.
        scores: importance of every unit, (units,); larger stays longer. Units of
            score minus infinity go in any case.
        candidates: which units may go, bool (units,).
        target_reduction: share of the encoder's cost to remove.
        cost: cost of the units; None counts parameters.

    Returns:
        Which units stay, without unused ones, bool (units,).

    Raises:
        ValueError: the candidates cannot give that much; the message has the bound.
    """
    cost = cost or table.parameters
    bound = table.reduction(~candidates, cost)
    if target_reduction > bound:
        raise ValueError(
            f"target_reduction={target_reduction:.3f} is more than these locations "
            f"can give ({bound:.3f} of the encoder's {cost.name}); ask for less or "
            f"add locations"
        )
    order = removal_order(table, scores, candidates)

    def miss(keep: torch.Tensor) -> float:
        return abs(table.reduction(keep, cost) - target_reduction)

    low = _count_below(table, order, target_reduction, cost)
    below, above = (_all_but(table, order[:count]) for count in (low, low + 1))
    best = min(below, above, key=miss)
    if miss(best) > TOLERANCE:
        may_return = (scores > -float("inf")) & ~_unused_bases(table, above)
        before = order[: low + 1].flip(0)
        before = before[may_return[before]]
        best = min(
            best,
            _make_up(table, below, order[low:], target_reduction, cost),
            _make_up(table, above, before, target_reduction, cost),
            key=miss,
        )
    return table.without_unused(best)


def removal_order(
    table: UnitTable, scores: torch.Tensor, candidates: torch.Tensor
) -> torch.Tensor:
    """The order in which units go, whatever the target.

    Units go by their scores, but no unit is worth more than what it has an effect
    through: a query unit counts at most as much as the best value unit of its head
    (an input of the convolution module: as its best channel), and goes just before
    it. So no unit takes others along, if all of them are candidates.

    Args:
        table: unit table of the encoder.
        scores: importance of every unit, (units,).
        candidates: which units may go, bool (units,).

    Returns:
        Indices of the candidates, first to go first, (candidates,).
    """
    worth = scores.double().masked_fill(~candidates, float("inf"))
    last_of_head = torch.zeros(table.num_units, dtype=torch.bool)
    for group, base in table.dependent_groups():
        by_head = worth[base.span].view(base.heads, -1)
        best = by_head.max(dim=1, keepdim=True).values
        width = by_head.shape[1]
        last = width - 1 - (by_head == best).flip(1).int().argmax(dim=1)
        last_of_head[base.start + torch.arange(base.heads) * width + last] = True
        dependent = worth[group.span].view(base.heads, -1)
        is_candidate = candidates[group.span].view(base.heads, -1)
        capped = torch.where(is_candidate, dependent.minimum(best), dependent)
        worth[group.span] = capped.flatten()
    # Sorted by worth, then the last of a head after its equals, then by score.
    order = torch.argsort(scores, stable=True)
    for key in (last_of_head.int(), worth):
        order = order[torch.argsort(key[order], stable=True)]
    return order[candidates[order]]


def _all_but(table: UnitTable, units: torch.Tensor) -> torch.Tensor:
    keep = torch.ones(table.num_units, dtype=torch.bool)
    keep[units] = False
    return keep


def _count_below(
    table: UnitTable, order: torch.Tensor, target: float, cost: Cost
) -> int:
    """Largest number of first units of ``order`` that do not exceed the target."""
    low, high = 0, len(order)
    while low < high:
        middle = (low + high + 1) // 2
        if table.reduction(_all_but(table, order[:middle]), cost) <= target:
            low = middle
        else:
            high = middle - 1
    return low


def _unused_bases(table: UnitTable, keep: torch.Tensor) -> torch.Tensor:
    """Units of the heads that others depend on and that ``keep`` leaves empty."""
    unused = torch.zeros(table.num_units, dtype=torch.bool)
    for _, base in table.dependent_groups():
        by_head = keep[base.span].view(base.heads, -1)
        alive = by_head.any(dim=1, keepdim=True)
        unused[base.span] = (~alive).expand_as(by_head).flatten()
    return unused


def _make_up(
    table: UnitTable,
    keep: torch.Tensor,
    units: torch.Tensor,
    target: float,
    cost: Cost,
) -> torch.Tensor:
    """Remove or take back each of ``units`` that brings the size nearer."""
    finest = cost.per_unit[units].min().item() / cost.total if len(units) else 0.0
    keep = keep.clone()
    missing = target - table.reduction(keep, cost)
    for unit in units.tolist():
        if abs(missing) <= finest / 2:
            break
        if bool(keep[unit]) != (missing > 0):
            continue
        keep[unit] = not keep[unit]
        still = target - table.reduction(keep, cost)
        if abs(still) < abs(missing):
            missing = still
        else:
            keep[unit] = not keep[unit]
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
        cost: cost of the units.

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
