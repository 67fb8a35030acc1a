"""Cost of one unit of a location, from the shapes of the weights that it cuts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from espnet_adaptive_dropout.modules.mac_counter import operator_counter
from espnet_adaptive_dropout.units.attach import unit_count
from espnet_adaptive_dropout.units.location import Location

_PRODUCTS = (torch.nn.Linear, torch.nn.Conv1d, torch.nn.Conv2d)


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


@torch.no_grad()
def measure_products(
    encoder: torch.nn.Module, inputs: tuple[torch.Tensor, torch.Tensor]
) -> tuple[int, tuple[int, int], dict[int, int]]:
    """Count in a forward pass.

    Returns:
        MACs; the lengths of frames and of positions that the blocks see; and how often
        every weight is used, by the id of the parameter.
    """
    lengths: list[tuple[int, int]] = []
    uses: dict[int, int] = {}

    def record_lengths(module: torch.nn.Module, args: Any) -> None:
        positions = args[3].size(1) if len(args) == 5 else 0
        lengths.append((args[0].size(1), positions))

    def record_uses(module: torch.nn.Module, args: Any, output: torch.Tensor) -> None:
        # Weights are (outputs, ...): one use for each output of all channels.
        uses[id(module.weight)] = output.numel() // module.weight.shape[0]

    was_training, conditions = encoder.training, encoder.interctc_use_conditioning
    encoder.eval()
    encoder.interctc_use_conditioning = False
    attention = encoder.encoders[0].self_attn
    handles = [attention.register_forward_pre_hook(record_lengths)]
    for module in encoder.modules():
        if isinstance(module, _PRODUCTS):
            handles.append(module.register_forward_hook(record_uses))
    try:
        with operator_counter(encoder) as counter:
            encoder(*inputs)
    finally:
        for handle in handles:
            handle.remove()
        encoder.interctc_use_conditioning = conditions
        encoder.train(was_training)
    return counter.get_total_flops() // 2, lengths[0], uses
