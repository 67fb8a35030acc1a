"""Multiply-accumulates of a decoder in the recognition of an utterance."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch

from espnet_adaptive_dropout.units.cost import Cost
from espnet_adaptive_dropout.units.group import UnitGroup
from espnet_adaptive_dropout.units.unit_cost import counted_macs

# Input frames of an encoder for one of its output, as with ESPnet's conv2d: a decoder
# does not know its encoder
SUBSAMPLING = 4


@dataclasses.dataclass(frozen=True)
class SearchLength:
    """Size of the search whose multiply-accumulates are counted.

    Args:
        frames: length of the utterance in input frames of the encoder.
        tokens: number of tokens of every hypothesis.
        beam: number of hypotheses.
    """

    frames: int
    tokens: int
    beam: int

    @property
    def source(self) -> int:
        """Frames of the encoder output."""
        return max(self.frames // SUBSAMPLING, 1)

    @property
    def steps(self) -> int:
        """Number of times that a token of a hypothesis passes the layers."""
        return self.tokens * self.beam

    @property
    def attended(self) -> dict[str, int]:
        """Pairs of a query and a key, by the name of the attention."""
        prefixes = self.tokens * (self.tokens + 1) // 2
        return {
            "self_attn": self.beam * prefixes,
            "src_attn": self.steps * self.source,
        }


def decoder_mac_cost(
    decoder: torch.nn.Module, groups: Sequence[UnitGroup], length: SearchLength
) -> Cost:
    """Multiply-accumulates that go with each unit in a beam search.

    Of the compact decoder: keys and values of the source are projected once, those of
    a token when it is new.

    Args:
        decoder: ESPnet's TransformerDecoder at full width, or an adaptive one.
        groups: all units of it, in unit order.
        length: size of the search.
    """
    uses = {
        id(module.weight): length.steps
        for module in decoder.modules()
        if isinstance(module, torch.nn.Linear)
    }
    total = 0
    for layer in decoder.decoders:
        for name in ("linear_k", "linear_v"):
            uses[id(getattr(layer.src_attn, name).weight)] = length.source
        # The product of queries with keys, and that of weights with values
        size = layer.src_attn.linear_out.in_features
        total += 2 * size * sum(length.attended.values())
    weights = [m.weight for m in decoder.modules() if isinstance(m, torch.nn.Linear)]
    total += sum(uses[id(weight)] * weight.numel() for weight in weights)
    return counted_macs(decoder, groups, total, uses, length.attended)
