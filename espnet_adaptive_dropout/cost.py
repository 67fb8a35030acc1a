"""What a unit costs: parameters, or multiply-accumulates at a stated length."""

from __future__ import annotations

import dataclasses
from typing import List, Tuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from espnet_adaptive_dropout import locations

COSTS = ("parameters", "macs")


@dataclasses.dataclass(frozen=True)
class Cost:
    """Cost of every unit of an encoder, and of the encoder.

    Exact for any set of removed units: no two locations share a product.

    Args:
        name: "parameters" or "macs".
        per_unit: float64 (units,), in the order of the UnitTable.
        total: of the encoder at full width, gates not counted.
    """

    name: str
    per_unit: torch.Tensor
    total: float


def parameter_cost(encoder: torch.nn.Module, table) -> Cost:
    """Parameters that go with each unit of ``table``, and all of the encoder's."""
    gates = {id(gate.scaled_logits) for gate in table.gates.values()}
    total = sum(p.numel() for p in encoder.parameters() if id(p) not in gates)
    each = [
        locations.unit_cost(encoder.encoders[g.block], locations.LOCATIONS[g.location])
        for g in table.groups
    ]
    return Cost("parameters", _spread(table, each), float(total))


def mac_cost(
    encoder: torch.nn.Module, table, inputs: Tuple[torch.Tensor, torch.Tensor]
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
    total, frames, positions = _measure(encoder, inputs)
    each = [
        locations.unit_macs(
            encoder.encoders[g.block],
            locations.LOCATIONS[g.location],
            frames,
            positions,
        )
        for g in table.groups
    ]
    return Cost("macs", _spread(table, each), float(total))


def zero_inputs(
    encoder: torch.nn.Module, input_size: int, frames: int
) -> Tuple[torch.Tensor, torch.Tensor]:
    """Inputs of ``encoder`` for one utterance of ``frames`` input frames."""
    layers = encoder.embed if isinstance(encoder.embed, torch.nn.Sequential) else ()
    takes_ids = any(isinstance(layer, torch.nn.Embedding) for layer in layers)
    if takes_ids:
        features = torch.zeros(1, frames, dtype=torch.long)
    else:
        features = torch.zeros(1, frames, input_size)
    return features, torch.tensor([frames])


@torch.no_grad()
def _measure(encoder: torch.nn.Module, inputs) -> Tuple[int, int, int]:
    """MACs of a forward pass, frames after subsampling, length of the positions."""
    shapes: List[Tuple[int, int]] = []

    def note(module, args):
        positions = args[3].size(1) if len(args) == 5 else 0
        shapes.append((args[0].size(1), positions))

    was_training, conditions = encoder.training, encoder.interctc_use_conditioning
    encoder.eval()
    encoder.interctc_use_conditioning = False
    handle = encoder.encoders[0].self_attn.register_forward_pre_hook(note)
    try:
        with FlopCounterMode(display=False) as counter:
            encoder(*inputs)
    finally:
        handle.remove()
        encoder.interctc_use_conditioning = conditions
        encoder.train(was_training)
    return counter.get_total_flops() // 2, *shapes[0]


def _spread(table, each: List[float]) -> torch.Tensor:
    return torch.cat(
        [
            torch.full((group.units,), float(cost), dtype=torch.float64)
            for group, cost in zip(table.groups, each)
        ]
    )
