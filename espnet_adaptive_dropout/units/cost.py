"""Cost of every unit: parameters, or multiply-accumulates of an utterance."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import torch

COSTS = ("parameters", "macs")


@dataclasses.dataclass(frozen=True)
class Shared:
    """Cost that each unit of one group has in common with each unit of another.

    Args:
        first: units of the one group in the unit order.
        second: units of the other group.
        amount: cost that one pair has in common.
    """

    first: slice
    second: slice
    amount: float


@dataclasses.dataclass(frozen=True)
class Cost:
    """Cost of every unit of an encoder or a decoder, and of all of it.

    Exact for any set of removed units.

    Args:
        name: "parameters" or "macs".
        per_unit: cost that goes with a unit when all others stay, float64 (units,),
            in the unit order.
        total: cost of the encoder or decoder at full width, gates not counted.
        shared: cost that goes with either of two units, and so only once with both.
    """

    name: str
    per_unit: torch.Tensor
    total: float
    shared: tuple[Shared, ...] = ()

    @classmethod
    def joined(cls, costs: Sequence[Cost]) -> Cost:
        """Costs of several stacks as one, in the order of :meth:`UnitTable.joined`."""
        start, shared = 0, []
        for cost in costs:
            shared += [
                dataclasses.replace(
                    pair,
                    first=_later(pair.first, start),
                    second=_later(pair.second, start),
                )
                for pair in cost.shared
            ]
            start += len(cost.per_unit)
        per_unit = torch.cat([cost.per_unit for cost in costs])
        total = sum(cost.total for cost in costs)
        return cls(costs[0].name, per_unit, total, tuple(shared))

    def removed(self, gone: torch.Tensor) -> torch.Tensor:
        """Cost that is removed, () float64.

        Args:
            gone: 1 for units that go, 0 for the others, (units,). Probabilities of
                units that go independently give the expectation.
        """
        return self._saving(gone.double())[0]

    @functools.cached_property
    def _saving(self) -> SavingByPool:
        return SavingByPool(self, torch.zeros(len(self.per_unit), dtype=torch.long))

    def of_units(self, chosen: torch.Tensor) -> Cost:
        """Cost of the chosen units, bool (units,), which are whole groups."""
        before = torch.cat([torch.zeros(1), chosen.cumsum(0)]).long().tolist()

        def moved(part: slice) -> slice:
            return slice(before[part.start], before[part.stop])

        shared = tuple(
            Shared(moved(pair.first), moved(pair.second), pair.amount)
            for pair in self.shared
            if chosen[pair.first].all() and chosen[pair.second].all()
        )
        return Cost(self.name, self.per_unit[chosen], self.total, shared)


def _later(part: slice, start: int) -> slice:
    return slice(part.start + start, part.stop + start)


class SavingByPool(torch.nn.Module):
    """Cost that is removed from every pool of units when some of them go.

    Half of the cost that two pools share counts for each. A module, so that it is on
    the device of its model; its buffers are in no checkpoint.

    Args:
        cost: cost of the units.
        pools: number of the pool of every unit, (units,).
        dtype: type of the calculation.
    """

    def __init__(
        self,
        cost: Cost,
        pools: torch.Tensor,
        dtype: torch.dtype = torch.float64,
    ):
        super().__init__()
        self.pools = int(pools.max()) + 1 if len(pools) else 0
        groups = {pair.first.start: pair.first for pair in cost.shared}
        groups.update({pair.second.start: pair.second for pair in cost.shared})
        numbers = {start: number for number, start in enumerate(groups)}
        # Units of no shared pair have a number of their own.
        group_of_unit = torch.full((len(pools),), len(groups))
        for start, row in groups.items():
            group_of_unit[row] = numbers[start]
        ends = [(pair.first.start, pair.second.start) for pair in cost.shared]
        self.groups = len(groups) + 1
        for name, tensor in {
            "per_unit": cost.per_unit.to(dtype),
            "pool_of_unit": pools,
            "group_of_unit": group_of_unit,
            "pairs": torch.tensor(
                [[numbers[end] for end in pair] for pair in ends]
            ).view(-1, 2),
            "pools_of_pairs": pools[torch.tensor(ends).long().view(-1, 2)],
            "amounts": torch.tensor([pair.amount for pair in cost.shared]).to(dtype),
        }.items():
            self.register_buffer(name, tensor, persistent=False)

    def forward(self, gone: torch.Tensor) -> torch.Tensor:
        """Cost removed from every pool, (pools,), differentiable.

        Args:
            gone: share of every unit that goes, (units,).
        """
        saved = self.per_unit.new_zeros(self.pools)
        saved = saved.index_add(0, self.pool_of_unit, self.per_unit * gone)
        if len(self.amounts) == 0:
            return saved
        sums = gone.new_zeros(self.groups).index_add(0, self.group_of_unit, gone)
        both = self.amounts * sums[self.pairs].prod(dim=1)
        halves = (-0.5 * both).repeat_interleave(2)
        return saved.index_add(0, self.pools_of_pairs.flatten(), halves)
