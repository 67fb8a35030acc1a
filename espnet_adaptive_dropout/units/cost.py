"""What a unit costs: parameters, or multiply-accumulates at a stated length."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from espnet_adaptive_dropout import compat
from espnet_adaptive_dropout.modules.mac_counter import operator_counter
from espnet_adaptive_dropout.units.unit_cost import shared_cost, unit_cost, unit_macs

if TYPE_CHECKING:
    from espnet_adaptive_dropout.units.table import UnitTable

COSTS = ("parameters", "macs")
_PRODUCTS = (torch.nn.Linear, torch.nn.Conv1d, torch.nn.Conv2d)


@dataclasses.dataclass(frozen=True)
class Shared:
    """What each unit of one group has in common with each of another.

    Args:
        first, second: where the groups lie in the row of units.
        amount: cost of one pair.
    """

    first: slice
    second: slice
    amount: float


@dataclasses.dataclass(frozen=True)
class Cost:
    """Cost of every unit of an encoder, and of the encoder.

    Exact for any set of removed units.

    Args:
        name: "parameters" or "macs".
        per_unit: what goes with a unit when all others stay, float64 (units,), in
            the order of the UnitTable.
        total: of the encoder at full width, gates not counted.
        shared: what goes with either of two units, and so only once with both.
    """

    name: str
    per_unit: torch.Tensor
    total: float
    shared: tuple[Shared, ...] = ()

    def removed(self, gone: torch.Tensor) -> torch.Tensor:
        """What is saved, () float64.

        Args:
            gone: which units go, (units,), 0 or 1. With the probabilities of going,
                of units that go independently, the result is the expectation.
        """
        return self._saving(gone.double())[0]

    @functools.cached_property
    def _saving(self) -> SavingByPool:
        return SavingByPool(self, torch.zeros(len(self.per_unit), dtype=torch.long))

    def of_units(self, chosen: torch.Tensor) -> Cost:
        """The same for some of the units, bool (units,), which are whole groups."""
        before = torch.cat([torch.zeros(1), chosen.cumsum(0)]).long().tolist()

        def moved(part: slice) -> slice:
            return slice(before[part.start], before[part.stop])

        shared = tuple(
            Shared(moved(pair.first), moved(pair.second), pair.amount)
            for pair in self.shared
            if chosen[pair.first].all() and chosen[pair.second].all()
        )
        return Cost(self.name, self.per_unit[chosen], self.total, shared)


class SavingByPool(torch.nn.Module):
    """What is saved in every pool of units when some of them go.

    What two pools share counts as half of each. A module, to lie on the device of
    the model that it is part of; its buffers are in no checkpoint.

    Args:
        cost: of the units.
        pools: number of the pool of every unit, (units,).
        dtype: to calculate in.
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
        """Savings of all pools, (pools,), differentiable.

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


def parameter_cost(encoder: torch.nn.Module, table: UnitTable) -> Cost:
    """Parameters that go with each unit of ``table``, and all of the encoder's."""
    gates = {id(gate.logits) for gate in table.gates.values()}
    total = sum(p.numel() for p in encoder.parameters() if id(p) not in gates)
    each = [
        unit_cost(group.owner(encoder), group.location_spec) for group in table.groups
    ]
    shared = _shared(encoder, table)
    return Cost("parameters", _spread(table, each), float(total), shared)


def mac_cost(
    encoder: torch.nn.Module,
    table: UnitTable,
    inputs: tuple[torch.Tensor, torch.Tensor],
) -> Cost:
    """Multiply-accumulates that go with each unit for an utterance like ``inputs``.

    Counted as PyTorch's FlopCounterMode counts them: matrix products and
    convolutions, not additions or activation functions; without the conditioning
    layer of intermediate CTC, which the encoder does not have when it is built, and
    without the zeros with which a compact encoder fills up heads of unequal width.

    Args:
        encoder: at full width; run once in evaluation mode.
        table: its UnitTable.
        inputs: features (1, frames, dim) and lengths (1,).
    """
    total, lengths, uses = _measure(encoder, inputs)
    each = [
        unit_macs(group.owner(encoder), group.location_spec, uses, *lengths)
        for group in table.groups
    ]
    shared = _shared(encoder, table, uses)
    return Cost("macs", _spread(table, each), float(total), shared)


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


@torch.no_grad()
def _measure(
    encoder: torch.nn.Module, inputs: tuple[torch.Tensor, torch.Tensor]
) -> tuple[int, tuple[int, int], dict[int, int]]:
    """Count in a forward pass.

    Returns:
        MACs; the lengths of frames and of positions that the blocks see; and how often
        every weight is used, by the id of the parameter.
    """
    lengths: list[tuple[int, int]] = []
    uses: dict[int, int] = {}

    def note_lengths(module: torch.nn.Module, args: Any) -> None:
        positions = args[3].size(1) if len(args) == 5 else 0
        lengths.append((args[0].size(1), positions))

    def note_uses(module: torch.nn.Module, args: Any, output: torch.Tensor) -> None:
        # Weights are (outputs, ...): one use for each output of all channels.
        uses[id(module.weight)] = output.numel() // module.weight.shape[0]

    was_training, conditions = encoder.training, encoder.interctc_use_conditioning
    encoder.eval()
    encoder.interctc_use_conditioning = False
    attention = encoder.encoders[0].self_attn
    handles = [attention.register_forward_pre_hook(note_lengths)]
    for module in encoder.modules():
        if isinstance(module, _PRODUCTS):
            handles.append(module.register_forward_hook(note_uses))
    try:
        with operator_counter(encoder) as counter:
            encoder(*inputs)
    finally:
        for handle in handles:
            handle.remove()
        encoder.interctc_use_conditioning = conditions
        encoder.train(was_training)
    return counter.get_total_flops() // 2, lengths[0], uses


def _shared(
    encoder: torch.nn.Module,
    table: UnitTable,
    uses: dict[int, int] | None = None,
) -> tuple[Shared, ...]:
    """Of all pairs of groups of an owner; of parameters, or MACs with ``uses``."""
    found = []
    for first, second in itertools.combinations(table.groups, 2):
        if first.block != second.block:
            continue
        amount = shared_cost(
            first.owner(encoder), first.location_spec, second.location_spec, uses
        )
        if amount:
            found.append(Shared(first.span, second.span, float(amount)))
    return tuple(found)


def _spread(table: UnitTable, each: Sequence[float]) -> torch.Tensor:
    return torch.cat(
        [
            torch.full((group.num_units,), float(cost), dtype=torch.float64)
            for group, cost in zip(table.groups, each)
        ]
    )
