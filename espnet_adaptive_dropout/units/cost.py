"""Cost of every unit: parameters, or multiply-accumulates of an utterance."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterable, Mapping, Sequence

import torch

from espnet_adaptive_dropout import compat
from espnet_adaptive_dropout.modules.gate import AdaptiveDropout
from espnet_adaptive_dropout.units.group import UnitGroup
from espnet_adaptive_dropout.units.unit_cost import (
    measure_products,
    shared_cost,
    unit_cost,
    unit_macs,
)

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


def parameter_cost(
    stack: torch.nn.Module,
    groups: Sequence[UnitGroup],
    gates: Iterable[AdaptiveDropout],
) -> Cost:
    """Parameters that go with each unit of ``groups``, and all of the stack's.

    Args:
        stack: encoder or decoder at full width.
        groups: all units of it, in unit order.
        gates: gates of it, which are not counted.
    """
    logits = {id(gate.logits) for gate in gates}
    total = sum(p.numel() for p in stack.parameters() if id(p) not in logits)
    each = [unit_cost(group.owner(stack), group.location_spec) for group in groups]
    shared = _shared(stack, groups)
    return Cost("parameters", _spread(groups, each), float(total), shared)


def mac_cost(
    encoder: torch.nn.Module,
    groups: Sequence[UnitGroup],
    inputs: tuple[torch.Tensor, torch.Tensor],
) -> Cost:
    """Multiply-accumulates that go with each unit for an utterance like ``inputs``.

    Counted as PyTorch's FlopCounterMode counts them: matrix products and
    convolutions, not additions or activation functions; without the conditioning
    layer of intermediate CTC, which the encoder does not have when it is built, and
    without the zeros with which a compact encoder fills up heads of unequal width.

    Args:
        encoder: encoder at full width; run once in evaluation mode.
        groups: all units of the encoder, in unit order.
        inputs: features (1, frames, dim) and lengths (1,).
    """
    total, (frames, positions), uses = measure_products(encoder, inputs)
    attended = {"self_attn": frames * frames}
    return counted_macs(encoder, groups, total, uses, attended, frames * positions)


def counted_macs(
    stack: torch.nn.Module,
    groups: Sequence[UnitGroup],
    total: int,
    uses: Mapping[int, int],
    attended: Mapping[str, int],
    positions: int = 0,
) -> Cost:
    """Multiply-accumulates of every unit, of what was counted.

    Args:
        stack: encoder or decoder at full width.
        groups: all units of it, in unit order.
        total: multiply-accumulates of all of it.
        uses: see :func:`unit_macs`; so for the two that follow.
        attended: pairs of a query and a key.
        positions: pairs of a frame and a position.
    """
    each = [
        unit_macs(group.owner(stack), group.location_spec, uses, attended, positions)
        for group in groups
    ]
    shared = _shared(stack, groups, uses)
    return Cost("macs", _spread(groups, each), float(total), shared)


def zero_inputs(
    encoder: torch.nn.Module, input_size: int, frames: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs of ``encoder`` for one utterance of ``frames`` input frames.

    Raises:
        ValueError: too few frames for the input layer.
    """
    too_short, least = compat.check_short_utt(encoder.embed, frames)
    if too_short or frames < 1:
        raise ValueError(
            f"cost_frames={frames}: the encoder needs at least {max(least, 1)} frames"
        )
    layers = encoder.embed if isinstance(encoder.embed, torch.nn.Sequential) else ()
    takes_ids = any(isinstance(layer, torch.nn.Embedding) for layer in layers)
    if takes_ids:
        features = torch.zeros(1, frames, dtype=torch.long)
    else:
        features = torch.zeros(1, frames, input_size)
    return features, torch.tensor([frames])


def _shared(
    stack: torch.nn.Module,
    groups: Sequence[UnitGroup],
    uses: Mapping[int, int] | None = None,
) -> tuple[Shared, ...]:
    """Shared costs of all groups; parameters, or MACs if ``uses`` is given."""
    found = []
    for first, second in itertools.combinations(groups, 2):
        if first.place != second.place:
            continue
        amount = shared_cost(
            first.owner(stack), first.location_spec, second.location_spec, uses
        )
        if amount:
            found.append(Shared(first.span, second.span, float(amount)))
    return tuple(found)


def _spread(groups: Sequence[UnitGroup], each: Sequence[float]) -> torch.Tensor:
    return torch.cat(
        [
            torch.full((group.num_units,), float(cost), dtype=torch.float64)
            for group, cost in zip(groups, each)
        ]
    )
