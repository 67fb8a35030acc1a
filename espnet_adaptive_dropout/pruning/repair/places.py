"""The layers that a repair solves again, and what each of them should put out."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import torch

from espnet_adaptive_dropout.modules.subsampling import (
    has_two_convolutions,
    output_layer,
)
from espnet_adaptive_dropout.pruning.repair.block_inputs import BlockInputs, blocks_of

# Of a block, in the order of the computation: name, module, its last layer, and the
# layer norm before the module
_ENCODER = (
    ("ffn_macaron", "feed_forward_macaron", "w_2", "norm_ff_macaron"),
    ("attention", "self_attn", "linear_out", "norm_mha"),
    ("convolution", "conv_module", "pointwise_conv2", "norm_conv"),
    ("ffn", "feed_forward", "w_2", "norm_ff"),
)
_DECODER = (
    ("self_attention", "self_attn", "linear_out", "norm1"),
    ("source_attention", "src_attn", "linear_out", "norm2"),
    ("ffn", "feed_forward", "w_2", "norm3"),
)
# Inputs of a layer, (#batch, frames, inputs), and what it should put out
Pair = tuple[torch.Tensor, torch.Tensor]


@dataclasses.dataclass
class Place:
    """A layer that can be solved again.

    Args:
        block: index of its block; None: the input layer.
        name: name of the module that it ends.
        layer: the layer in the compact encoder or decoder.
        original: module of the original one with the same output.
        residual: the layers, in the compact and in the original one, whose input is
            the sum that the output is added to; None: it is not added to anything.
        scale: factor of the output in the new sum.
    """

    block: int | None
    name: str
    layer: torch.nn.Module
    original: torch.nn.Module
    residual: tuple[torch.nn.Module, torch.nn.Module] | None = None
    scale: float = 1.0


def places_of(original: torch.nn.Module, compact: torch.nn.Module) -> Iterator[Place]:
    """Yield the layers in the order of the computation.

    Args:
        original: encoder or decoder before the cut.
        compact: the same after the cut.
    """
    layers = _DECODER if hasattr(original, "decoders") else _ENCODER
    if _channels(original.embed) != _channels(compact.embed):
        outputs = output_layer(compact.embed), output_layer(original.embed)
        yield Place(None, "subsampling", *outputs)
    for index, (old, new) in enumerate(zip(blocks_of(original), blocks_of(compact))):
        for name, module, layer, norm in layers:
            parts = getattr(new, module, None), getattr(old, module, None)
            if parts[0] is None or parts[1] is None:
                continue
            place = Place(index, name, getattr(parts[0], layer), parts[1])
            if not (new.concat_after and layer == "linear_out"):
                norms = getattr(new, norm), getattr(old, norm)
                place.residual = norms if new.normalize_before else parts
                if layer == "w_2":
                    place.scale = getattr(new, "ff_scale", 1.0)
            yield place


def input_and_target(
    place: Place, original: BlockInputs, compact: BlockInputs, utterance: int
) -> Pair:
    """Return what a layer reads after the cut, and what it should put out.

    That is what the module puts out before the cut and, because it is added to a sum,
    also what this sum lacks so far.

    Args:
        place: the layer.
        original: the encoder or decoder before the cut, at the layer's block.
        compact: the same after the cut, at the layer's block.
        utterance: index of the utterance.

    Returns:
        Inputs, (#batch, frames, inputs), and targets, (#batch, frames, outputs); for
        a decoder, frames are tokens.
    """
    if place.residual is None:
        (found,) = compact.tensors(utterance, [place.layer])
        (target,) = original.tensors(utterance, output_of=place.original)
        return found, target
    new, old = place.residual
    present, found = compact.tensors(utterance, [new, place.layer])
    wanted, target = original.tensors(utterance, [old], place.original)
    return found, target + (wanted - present) / place.scale


def _channels(embed: torch.nn.Module | None) -> list[int]:
    if embed is None or not has_two_convolutions(embed):
        return []
    return [embed.conv[index].weight.shape[0] for index in (0, 2)]
