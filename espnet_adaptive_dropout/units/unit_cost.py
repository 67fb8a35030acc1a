"""What one unit of a location costs, from the shapes of the weights it cuts."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from espnet_adaptive_dropout.units.attach import unit_count
from espnet_adaptive_dropout.units.locations import Location


def _sliced(
    owner: torch.nn.Module, location: Location
) -> dict[str, torch.nn.Parameter]:
    """The parameters that ``location`` cuts, by name within their module."""
    names = {part.name for part in location.slices}
    parameters = getattr(owner, location.module).named_parameters()
    return {name: parameter for name, parameter in parameters if name in names}


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
        first: one of its locations.
        second: another.
        uses: as for :func:`unit_macs`; None counts parameters.
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
    frames: int,
    positions: int,
) -> int:
    """Multiply-accumulates that go with one unit of ``location`` (exact).

    Args:
        owner: full-width block, or encoder for the input layer.
        location: one of its locations.
        uses: how often each weight of a product or convolution is used, by the id of
            the parameter.
        frames: length of the input of the blocks.
        positions: length of the relative-position embedding; 0 without.
    """
    macs = sum(
        uses.get(id(parameter), 0) * parameter.numel()
        for parameter in _sliced(owner, location).values()
    )
    attended = frames * frames * location.attends_frames
    attended += frames * positions * location.attends_positions
    return macs // unit_count(owner, location) + attended
