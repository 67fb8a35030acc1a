"""The cut: the lowest-ranked units go until the size is the target."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import torch

from espnet_adaptive_dropout.units.cost import Cost
from espnet_adaptive_dropout.units.removal_order import removal_turns, uneven_group
from espnet_adaptive_dropout.units.table import UnitTable

# Largest share of the encoder by which a cut in the plain order may miss its target.
TOLERANCE = 5e-4


def ranked_cut(
    table: UnitTable,
    scores: torch.Tensor,
    candidates: torch.Tensor,
    target_reduction: float,
    cost: Cost | None = None,
    multiple_of: int = 1,
) -> torch.Tensor:
    """Keep the best units so that the size is the target.

    There is one order of removal for all targets, see :func:`removal_turns`. The
    first units of it go, as many as give the size nearest to the target. Cuts of the
    same scores to growing targets are therefore nested: what the one removes, the
    next removes too.

    Only where this misses the target by more than ``TOLERANCE`` (in a very small
    encoder, or where the last value unit of a head takes along queries that cannot
    go by themselves) do other units make up the size: units of the order that would
    overshoot stay and later ones go, or the next one goes and the best of those
    before it stay, whichever comes nearer.

    With ``multiple_of`` above 1 bundles of so many units go instead of units. A cut
    in the plain order may then also miss its target by half the cost of the cheapest
    bundle, if this is more than ``TOLERANCE``. Otherwise bundles are exchanged until
    the target is missed by no more than that, where the bundles allow it.

    Args:
        table: unit table of the encoder.
        scores: importance of every unit, (units,); larger stays longer. Units of
            score minus infinity go in any case.
        candidates: which units may go, bool (units,).
        target_reduction: share of the encoder's cost to remove.
        cost: cost of the units; None counts parameters.
        multiple_of: the width of every group, or of every head of it, becomes a
            multiple of this number or stays the full width.

    Returns:
        Which units stay, without unused ones, bool (units,).

    Raises:
        ValueError: the candidates cannot give that much; the message has the bound.
    """
    cost = cost or table.parameters
    turns = removal_turns(table, scores, candidates, multiple_of)
    bound = table.reduction(turns < 0, cost)
    if target_reduction > bound:
        raise ValueError(
            f"target_reduction={target_reduction:.3f} is more than these locations "
            f"can give ({bound:.3f} of the {table.name}'s {cost.name}); ask for less "
            f"or add locations"
        )
    may_return = scores > -float("inf")
    return _Cut(table, turns, may_return, target_reduction, cost, multiple_of).nearest()


@dataclasses.dataclass(frozen=True)
class _Cut:
    """The search for the units that stay; see :func:`ranked_cut`.

    Args:
        table: unit table of the encoder.
        turns: turn in which every unit goes, (units,); -1 for a unit that stays.
        may_return: which units need not go, bool (units,).
        target: share of the encoder's cost to remove.
        cost: cost of the units.
        multiple_of: number of which the widths are to be multiples.
    """

    table: UnitTable
    turns: torch.Tensor
    may_return: torch.Tensor
    target: float
    cost: Cost
    multiple_of: int

    def nearest(self) -> torch.Tensor:
        """Units that stay, without unused ones, bool (units,)."""
        low = self.count_below()
        below, above = self.after(low), self.after(low + 1)
        best = min(below, above, key=self.miss)
        later = list(range(low, len(self.turn_costs)))
        tolerance = TOLERANCE
        if self.multiple_of > 1:
            tolerance = max(tolerance, self.finest(range(len(self.turn_costs))) / 2)
        if self.miss(best) > tolerance:
            best = min(
                best,
                self.make_up(below, later),
                self.make_up(above, self.earlier(low, above)),
                key=self.miss,
            )
        while self.multiple_of > 1 and self.miss(best) > tolerance:
            nearer = self.make_up(best, later + self.earlier(low, best))
            if self.miss(nearer) >= self.miss(best):
                break
            best = nearer
        return self.table.without_unused(best)

    @functools.cached_property
    def turn_costs(self) -> torch.Tensor:
        """Cost of the units of every turn, (turns,)."""
        goes = self.turns >= 0
        count = int(self.turns.max()) + 1 if len(goes) else 0
        costs = self.cost.per_unit.new_zeros(count)
        return costs.index_add(0, self.turns[goes], self.cost.per_unit[goes])

    def finest(self, turns: Sequence[int]) -> float:
        """Share of the encoder that the cheapest of these turns gives."""
        costs = self.turn_costs[list(turns)]
        return costs.min().item() / self.cost.total if len(turns) else 0.0

    def after(self, turns: int) -> torch.Tensor:
        """Units that are left after so many turns, bool (units,)."""
        return (self.turns < 0) | (self.turns >= turns)

    def missing(self, keep: torch.Tensor) -> float:
        """Share of the encoder that is to go beyond what ``keep`` removes."""
        return self.target - self.table.reduction(keep, self.cost)

    def miss(self, keep: torch.Tensor) -> float:
        """Distance from the target."""
        return abs(self.missing(keep))

    def count_below(self) -> int:
        """Largest number of turns that does not exceed the target.

        It is at least the number of those after which all units are gone that must go.
        """
        must_go = self.turns[~self.may_return]
        low = int(must_go.max()) + 1 if len(must_go) else 0
        high = len(self.turn_costs)
        while low < high:
            middle = (low + high + 1) // 2
            if self.missing(self.after(middle)) >= 0:
                low = middle
            else:
                high = middle - 1
        return low

    def earlier(self, low: int, keep: torch.Tensor) -> list[int]:
        """Turns up to ``low``, latest first, whose units may return to ``keep``."""
        stays_gone = ~self.may_return | _unused_bases(self.table, keep)
        excluded = set(self.turns[stays_gone].tolist())
        last = min(low, len(self.turn_costs) - 1)
        return [turn for turn in range(last, -1, -1) if turn not in excluded]

    def make_up(self, keep: torch.Tensor, turns: Sequence[int]) -> torch.Tensor:
        """Remove or take back the units of each turn that brings the size nearer."""
        finest = self.finest(turns)
        missing = self.missing(keep)
        for turn in turns:
            if abs(missing) <= finest / 2:
                break
            members = self.turns == turn
            if bool(keep[members].any()) != (missing > 0):
                continue
            changed = keep ^ members
            still = self.missing(changed)
            if abs(still) < abs(missing) and not self.is_uneven(changed):
                keep, missing = changed, still
        return keep

    def is_uneven(self, keep: torch.Tensor) -> bool:
        """Whether a width is neither a multiple nor the full width."""
        if self.multiple_of == 1:
            return False
        return uneven_group(self.table, keep, self.multiple_of) is not None


def _unused_bases(table: UnitTable, keep: torch.Tensor) -> torch.Tensor:
    """Units of the heads that others depend on and that ``keep`` leaves empty."""
    unused = torch.zeros(table.num_units, dtype=torch.bool)
    for _, base in table.dependent_groups():
        by_head = keep[base.span].view(base.heads, -1)
        alive = by_head.any(dim=1, keepdim=True)
        unused[base.span] = (~alive).expand_as(by_head).flatten()
    return unused


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
