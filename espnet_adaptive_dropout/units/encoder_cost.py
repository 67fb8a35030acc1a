"""Multiply-accumulates of the units of an encoder, counted in a forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from espnet_adaptive_dropout import compat
from espnet_adaptive_dropout.modules.mac_counter import operator_counter
from espnet_adaptive_dropout.units.cost import Cost
from espnet_adaptive_dropout.units.group import UnitGroup
from espnet_adaptive_dropout.units.unit_cost import counted_macs

_PRODUCTS = (torch.nn.Linear, torch.nn.Conv1d, torch.nn.Conv2d)


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
    total, (frames, positions), uses = _measure_products(encoder, inputs)
    attended = {"self_attn": frames * frames}
    return counted_macs(encoder, groups, total, uses, attended, frames * positions)


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
def _measure_products(
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
