"""What a pruned Conformer must compute, from ESPnet's encoder and index formulas alone.

Nothing here is imported from the package, nor from its tables: a mistake in those must
not be made twice. A removed unit is one whose *contribution* is zero: what is nulled is
the side of the weights that it passes through (for queries both position biases too,
because they are added to the queries before the product with the keys).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Optional

import torch
from espnet2.asr.encoder.conformer_encoder import ConformerEncoder, check_short_utt

# (block or None for the input layer, location) -> which units stay
Keep = dict[tuple[Optional[int], str], torch.Tensor]

_FEED_FORWARD = (("w_1.weight", 0), ("w_1.bias", 0)), (("w_2.weight", 1),)
# location -> module, the other slices of a unit, the slices that null it; a slice is
# the name of a tensor and an axis
_SLICES = {
    "ffn": ("feed_forward", *_FEED_FORWARD),
    "ffn_macaron": ("feed_forward_macaron", *_FEED_FORWARD),
    "query": (
        "self_attn",
        (("linear_k.weight", 0), ("linear_k.bias", 0), ("linear_pos.weight", 0)),
        (("linear_q.weight", 0), ("linear_q.bias", 0), ("pos_bias", 0)),
    ),
    "value": (
        "self_attn",
        (("linear_v.weight", 0), ("linear_v.bias", 0)),
        (("linear_out.weight", 1),),
    ),
    "conv_input": ("conv_module", (), (("pointwise_conv1.weight", 1),)),
    "conv_channel": (
        "conv_module",
        (
            ("pointwise_conv1.weight", 0),
            ("pointwise_conv1.bias", 0),
            ("depthwise_conv.weight", 0),
            ("depthwise_conv.bias", 0),
            ("norm.weight", 0),
            ("norm.bias", 0),
        ),
        (("pointwise_conv2.weight", 1),),
    ),
    "subsampling_1": (
        "embed",
        (("conv.0.weight", 0), ("conv.0.bias", 0)),
        (("conv.2.weight", 1),),
    ),
    "subsampling_2": (
        "embed",
        (("conv.2.weight", 0), ("conv.2.bias", 0)),
        (("out.weight", 1), ("out.0.weight", 1)),
    ),
}


def stock_encoder(options: dict, seed: int) -> ConformerEncoder:
    """A stock encoder in double precision with random weights and statistics."""
    torch.manual_seed(seed)
    encoder = ConformerEncoder(**options).double()
    for name, tensor in encoder.state_dict().items():
        if tensor.is_floating_point():
            is_scale = tensor.dim() == 1 and name.endswith((".weight", "running_var"))
            tensor.copy_(torch.rand(tensor.shape) + (0.5 if is_scale else -0.5))
    return encoder.eval()


def shortest(encoder: ConformerEncoder) -> int:
    """Number of frames that the input layer needs."""
    frames = 1
    while check_short_utt(encoder.embed, frames)[0]:
        frames += 1
    return frames


def widths(options: dict) -> dict[tuple[int | None, str], int]:
    """Number of units of every location of every block."""
    size, hidden = options["output_size"], options["linear_units"]
    found = {}
    if options["input_layer"] in ("conv2d", "conv2d1", "conv2d2", "conv2d6"):
        found[None, "subsampling_1"] = found[None, "subsampling_2"] = size
    for block in range(options["num_blocks"]):
        if options["macaron_style"]:
            found[block, "ffn_macaron"] = hidden
        found[block, "query"] = found[block, "value"] = size
        if options["use_cnn_module"]:
            found[block, "conv_input"] = found[block, "conv_channel"] = size
        found[block, "ffn"] = hidden
    return found


def without_unused(keep: Keep, heads: int) -> Keep:
    """Without units whose output nobody reads any more."""
    keep = dict(keep)
    for (block, location), units in keep.items():
        if location == "query":
            alive = keep[block, "value"].view(heads, -1).any(dim=1, keepdim=True)
            keep[block, location] = (units.view(heads, -1) & alive).flatten()
        elif location == "conv_input" and not keep[block, "conv_channel"].any():
            keep[block, location] = torch.zeros_like(units)
        elif location == "subsampling_1" and not keep[block, "subsampling_2"].any():
            keep[block, location] = torch.zeros_like(units)
    return keep


def factors(
    encoder: ConformerEncoder, keep: Keep, whole: bool = False
) -> dict[str, torch.Tensor]:
    """0 for what belongs to a removed unit and 1 elsewhere, for each parameter.

    Args:
        encoder: stock.
        keep: which units stay.
        whole: 0 for every slice of a removed unit, not only for those that null it.
    """
    ones = {name: torch.ones_like(p) for name, p in encoder.named_parameters()}
    for (block, location), kept in keep.items():
        module, others, nulling = _SLICES[location]
        prefix = module if block is None else f"encoders.{block}.{module}"
        for name, axis in (*nulling, *(others if whole else ())):
            for key in _named(ones, f"{prefix}.{name}"):
                _null(ones[key], axis, kept)
    return ones


def _named(tensors: dict[str, torch.Tensor], name: str) -> list[str]:
    """The tensor called so, if there is one; both position biases."""
    if name.endswith("pos_bias"):
        return [key for key in (f"{name}_u", f"{name}_v") if key in tensors]
    return [name] if name in tensors else []


def _null(factor: torch.Tensor, axis: int, kept: torch.Tensor) -> None:
    if factor.shape[axis] == len(kept):
        factor.movedim(axis, 0)[~kept] = 0.0
    elif factor.numel() == len(kept):  # a position bias, (heads, d_k)
        factor.view(-1)[~kept] = 0.0
    elif axis == 0:  # the gated linear unit: channels, then their gates
        assert len(factor) == 2 * len(kept)
        factor[: len(kept)][~kept] = 0.0
        factor[len(kept) :][~kept] = 0.0
    else:  # the output of the input layer: all frequencies of each channel
        factor.view(len(factor), len(kept), -1)[:, ~kept] = 0.0


def run(encoder, factor: dict[str, torch.Tensor], features, lengths):
    """Outputs of the encoder with its parameters multiplied, differentiable."""
    weights = {name: p * factor[name] for name, p in encoder.named_parameters()}
    buffers = {name: buffer.clone() for name, buffer in encoder.named_buffers()}
    return torch.func.functional_call(
        encoder, {**weights, **buffers}, (features, lengths)
    )


def real_frames(result) -> torch.Tensor:
    """All outputs, intermediate ones too, of real frames, (frames, size)."""
    output, lengths, _ = result
    outputs = [output]
    if isinstance(output, tuple):
        outputs = [output[0], *(intermediate for _, intermediate in output[1])]
    real = torch.arange(outputs[0].size(1))[None, :] < lengths[:, None]
    return torch.cat([x[real] for x in outputs])


def macs(encoder, keep: Keep, heads: int, features: torch.Tensor) -> int:
    """Multiply-accumulates for one utterance, by hooks on the layers and by formula
    for the products of the attention.

    Args:
        encoder: stock or pruned.
        keep: the units that it has.
        heads: number of heads.
        features: (1, frames, dim).
    """
    counts: list[int] = []
    blocks = iter(range(len(encoder.encoders)))

    def count_layer(layer, inputs, output):
        if layer.weight.numel():
            counts.append(output.numel() * layer.weight[0].numel())

    def count_attention(module, inputs):
        block, time = next(blocks), inputs[0].size(1)
        positions = inputs[3].size(1) if len(inputs) == 5 else 0
        for query, value in zip(*_head_widths(keep, block, heads)):
            counts.append(time * (query * (time + positions) + value * time))

    handles = [
        layer.register_forward_hook(count_layer)
        for layer in encoder.modules()
        if isinstance(layer, (torch.nn.Linear, torch.nn.Conv1d, torch.nn.Conv2d))
    ]
    handles += [
        block.self_attn.register_forward_pre_hook(count_attention)
        for block in encoder.encoders
    ]
    # With gradients a compact encoder computes all frames at once, as ESPnet does.
    encoder(features.clone().requires_grad_(), torch.tensor([features.size(1)]))
    for handle in handles:
        handle.remove()
    return sum(counts)


def _head_widths(keep: Keep, block: int, heads: int) -> Iterator[list[int]]:
    for location in ("query", "value"):
        yield keep[block, location].view(heads, -1).sum(dim=1).tolist()


def relative_difference(actual: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest difference as a share of the largest expected value."""
    assert actual.shape == expected.shape
    if not expected.numel():
        return 0.0
    difference = (actual - expected).abs().max().item()
    largest = expected.abs().max().item()
    return difference / largest if largest else (math.inf if difference else 0.0)
