"""The order in which units go, and how many of them go together."""

from __future__ import annotations

import torch

from espnet_adaptive_dropout.units.group import UnitGroup
from espnet_adaptive_dropout.units.table import UnitTable


def removal_turns(
    table: UnitTable,
    scores: torch.Tensor,
    candidates: torch.Tensor,
    multiple_of: int = 1,
) -> torch.Tensor:
    """The turn in which every unit goes, whatever the target.

    Units go by their scores, but no unit is worth more than what it has an effect
    through: a query unit counts at most as much as the best value unit of its head
    (an input of the convolution module: as its best channel), and goes just before
    it. So no unit takes others along, if all of them are candidates.

    With ``multiple_of`` above 1 units go in bundles, see :func:`bundles`: one bundle
    in every turn. A bundle has the mean score of its units, and is compared as a unit
    is otherwise.

    Args:
        table: unit table of the encoder.
        scores: importance of every unit, (units,).
        candidates: which units may go, bool (units,).
        multiple_of: number of which the widths are to be multiples.

    Returns:
        Turns 0, 1, ... (units,), first to go first; -1 for a unit that stays.
    """
    bundle = bundles(table, scores, candidates, multiple_of)
    count = int(bundle.max()) + 1 if len(bundle) else 0
    goes = bundle >= 0
    own = _mean_scores(scores[goes], bundle[goes], count)
    worth = torch.full((table.num_units,), float("inf"), dtype=torch.float64)
    worth[goes] = own[bundle[goes]]
    last_of_head = torch.zeros(count, dtype=torch.bool)
    for group, base in table.dependent_groups():
        by_head = worth[base.span].view(base.heads, -1)
        best = by_head.max(dim=1, keepdim=True).values
        numbers = bundle[base.span].view(base.heads, -1)
        last = numbers.masked_fill(by_head != best, -1).amax(dim=1)
        last_of_head[last[last >= 0]] = True
        dependent = worth[group.span].view(base.heads, -1)
        may_go = goes[group.span].view(base.heads, -1)
        capped = torch.where(may_go, dependent.minimum(best), dependent)
        worth[group.span] = capped.flatten()
    worth_of_bundle = torch.zeros(count, dtype=torch.float64)
    worth_of_bundle[bundle[goes]] = worth[goes]
    # Sorted by worth, then the last of a head after its equals, then by score.
    order = torch.argsort(own, stable=True)
    for key in (last_of_head.int(), worth_of_bundle):
        order = order[torch.argsort(key[order], stable=True)]
    turns = torch.full_like(bundle, -1)
    turns[goes] = order.argsort()[bundle[goes]]
    return turns


def bundles(
    table: UnitTable, scores: torch.Tensor, candidates: torch.Tensor, multiple_of: int
) -> torch.Tensor:
    """The bundle to which every unit belongs: units of one head that go together.

    The units of a head (of a group that has no heads: of the group) are ranked. The
    lowest ``multiple_of`` of them are a bundle, the next are another, and so on. If
    the full width is no multiple, the bundle that goes first has only the remainder.
    The width is therefore the full width or a multiple, whichever bundles have gone.

    Args:
        table: unit table of the encoder.
        scores: importance of every unit, (units,).
        candidates: which units may go, bool (units,).
        multiple_of: number of units in a bundle.

    Returns:
        Numbers 0, 1, ... (units,), ascending with the groups, heads and ranks; -1 for
        a unit that stays: one that may not go, or one of too few to fill a bundle.
    """
    bundle = torch.full((table.num_units,), -1)
    count = 0
    for group in table.groups:
        may_go = candidates[group.span].view(group.heads, -1)
        order = scores[group.span].view(group.heads, -1).argsort(dim=1, stable=True)
        staying = (~may_go).int().gather(1, order)
        order = order.gather(1, staying.argsort(dim=1, stable=True))
        # As if the first bundle were full too
        short = -order.shape[1] % multiple_of
        number = (order.argsort(dim=1) + short) // multiple_of
        full = (may_go.sum(dim=1, keepdim=True) + short) // multiple_of
        number = torch.where(number < full, number + full.cumsum(0) - full, -1 - count)
        bundle[group.span] = (number + count).flatten()
        count += int(full.sum())
    return bundle


def _mean_scores(
    scores: torch.Tensor, bundle: torch.Tensor, count: int
) -> torch.Tensor:
    """Mean score of every bundle, float64 (bundles,).

    Rounding puts no mean outside the scores of its units, so that of two bundles of
    a head the lower one never ranks above the other.
    """
    scores = scores.double()
    zeros = scores.new_zeros(count)
    sums = zeros.index_add(0, bundle, scores)
    means = sums / zeros.index_add(0, bundle, torch.ones_like(scores))
    low, high = (
        zeros.scatter_reduce(0, bundle, scores, kind, include_self=False)
        for kind in ("amin", "amax")
    )
    return means.maximum(low).minimum(high)


def uneven_group(
    table: UnitTable, keep: torch.Tensor, multiple_of: int
) -> UnitGroup | None:
    """A group in which a head has neither its full width nor a multiple.

    Args:
        table: unit table of the encoder.
        keep: which units stay, bool (units,).
        multiple_of: number of which the widths are to be multiples.

    Returns:
        The first such group in the unit order; None if there is none.
    """
    for group in table.groups:
        kept = keep[group.span].view(group.heads, -1)
        widths = kept.sum(dim=1)
        if ((widths % multiple_of > 0) & (widths < kept.shape[1])).any():
            return group
    return None
