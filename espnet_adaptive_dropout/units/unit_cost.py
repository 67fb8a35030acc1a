"""Counts the cost of units, from the shapes of the weights that they cut."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence

import torch

from espnet_adaptive_dropout.modules.gate import AdaptiveDropout
from espnet_adaptive_dropout.units.attach import unit_count
from espnet_adaptive_dropout.units.cost import Cost, Shared
from espnet_adaptive_dropout.units.group import UnitGroup
from espnet_adaptive_dropout.units.location import Location


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


def unit_cost(owner: torch.nn.Module, location: Location) -> int:
    """Parameters that go with one unit of ``location`` (exact)."""
    sizes = [parameter.numel() for parameter in _sliced(owner, location).values()]
    return sum(sizes) // unit_count(owner, location)


def shared_cost(
    owner: torch.nn.Module,
    first: Location,
    second: Location,
    uses: Mapping[int, int] | None = None,
) -> int:
    """Cost of the weights that a unit of one location shares with one of another.

    They go with either unit: the one cuts them by rows, the other by columns.

    Args:
        owner: full-width block, or encoder for the input layer.
        first: a location of the owner.
        second: another location of the owner.
        uses: numbers of uses, see :func:`unit_macs`; None counts parameters.
    """
    if first.module != second.module:
        return 0
    others = _sliced(owner, second)
    cost = sum(
        parameter.numel() * (1 if uses is None else uses[id(parameter)])
        for name, parameter in _sliced(owner, first).items()
        if name in others
    )
    return cost // (unit_count(owner, first) * unit_count(owner, second))


def unit_macs(
    owner: torch.nn.Module,
    location: Location,
    uses: Mapping[int, int],
    attended: Mapping[str, int],
    positions: int = 0,
) -> int:
    """Multiply-accumulates that go with one unit of ``location`` (exact).

    Args:
        owner: full-width block, or encoder for the input layer.
        location: a location of the owner.
        uses: number of uses of each weight of a product or convolution, by the id of
            the parameter.
        attended: number of pairs of a query and a key, by the name of the attention.
        positions: number of pairs of a frame and a relative position; 0 without.
    """
    macs = sum(
        uses.get(id(parameter), 0) * parameter.numel()
        for parameter in _sliced(owner, location).values()
    )
    macs //= unit_count(owner, location)
    if location.attends:
        macs += attended[location.module]
    return macs + positions * location.attends_positions


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


def _sliced(
    owner: torch.nn.Module, location: Location
) -> dict[str, torch.nn.Parameter]:
    """The parameters that ``location`` cuts, by name within their module."""
    names = {part.name for part in location.slices}
    parameters = getattr(owner, location.module).named_parameters()
    return {name: parameter for name, parameter in parameters if name in names}
