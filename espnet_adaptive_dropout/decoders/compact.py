"""The compact Transformer decoder: the widths of its config, and faster steps."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch

from espnet_adaptive_dropout import compat
from espnet_adaptive_dropout.decoders.kept import (
    Prefix,
    Source,
    distinct_rows,
    stacked,
)
from espnet_adaptive_dropout.decoders.layer import (
    add_part,
    attend_to_prefix,
    attend_to_source,
)
from espnet_adaptive_dropout.modules.checked_loading import CheckedLoading
from espnet_adaptive_dropout.modules.empty_layers import SkippedNorm, linear
from espnet_adaptive_dropout.modules.kept_attention import (
    HeadPairs,
    keeping_attention,
)
from espnet_adaptive_dropout.units.layer_widths import LayerWidths, parse_layer_widths

Scores = Any  # a tensor, or with return_hs two of them


class CompactTransformerDecoder(CheckedLoading, compat.TransformerDecoder):
    """ESPnet's TransformerDecoder with widths of its own, and faster in a search.

    A search projects the keys and values of the source once, for all hypotheses of an
    utterance, and those of a token once, when it is the last one. ESPnet's decoder
    projects all of them again at every token. The training is ESPnet's.

    The weights keep the stock names; at full width also their shapes, so that a
    checkpoint of ESPnet's decoder can be loaded. Partially autoregressive decoding
    works, at ESPnet's speed.

    Args:
        vocab_size: number of tokens.
        encoder_output_size: size of the encoder output and of the layers.
        widths: one mapping for every layer, see :class:`LayerWidths`; None: full width.
        **stock_options: options of the stock decoder, with its names and defaults.

    Raises:
        ValueError: the widths do not fit the architecture.
    """

    def __init__(
        self,
        vocab_size: int,
        encoder_output_size: int,
        widths: Sequence[dict[str, Any]] | None = None,
        **stock_options: Any,
    ):
        options = compat.stock_options(
            stock_options, compat.TransformerDecoder, "decoder_conf"
        )
        super().__init__(vocab_size, encoder_output_size, **options)
        self._stock_options = dict(
            vocab_size=vocab_size, encoder_output_size=encoder_output_size, **options
        )
        if widths is None:
            for layer in self.decoders:
                layer.self_attn = keeping_attention(layer.self_attn)
                layer.src_attn = keeping_attention(layer.src_attn)
            return
        heads = self.decoders[0].self_attn.h
        layers = parse_layer_widths(widths, len(self.decoders), heads)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Initializing zero-element")
            for layer, layer_widths in zip(self.decoders, layers):
                _narrow(layer, layer_widths)
        # Distributed training waits for the gradient of every weight that requires one.
        for parameter in self.parameters():
            if parameter.numel() == 0:
                parameter.requires_grad_(False)

    def at_full_width(self) -> CompactTransformerDecoder:
        """Return a new decoder with the same options and all units."""
        return CompactTransformerDecoder(**self._stock_options)

    def forward_one_step(
        self,
        tgt: torch.Tensor,
        tgt_mask: torch.Tensor | None,
        memory: torch.Tensor,
        memory_mask: torch.Tensor | None = None,
        *,
        cache: list[torch.Tensor] | None = None,
        return_hs: bool = False,
    ) -> tuple[Scores, Prefix]:
        """Score the token after a prefix.

        Args:
            tgt: prefixes, (#batch, tokens).
            tgt_mask: (1 or #batch, tokens, tokens), or None where every token sees all.
            memory: encoder output, (#batch, time, size).
            memory_mask: (1 or #batch, 1, time), true on real frames, or None.
            cache: what the step before returned; None at the first one.
            return_hs: also return the hidden vectors that the scores were made of.

        Returns:
            Log probabilities (#batch, vocabulary), or with ``return_hs`` a pair of them
            and the hidden vectors (#batch, size); and the keys and values of the
            prefixes, a tensor (#batch, tokens, units) for every layer.

        Raises:
            ValueError: the cache is not that of the prefix without its last token.
        """
        known = 0 if cache is None else cache[0].size(1)
        if cache is not None and known != tgt.size(1) - 1:
            raise ValueError(
                f"the state of a hypothesis has {known} tokens, but its prefix has "
                f"{tgt.size(1)}; it must have one more"
            )
        source = getattr(cache, "source", None)
        layers = None if source is None else source.layers_for(memory)
        if source is None or layers is None:
            layers = self._project_source(distinct_rows(memory))
            source = Source(memory, layers)
        x = self.embed(tgt)[:, known:]
        mask = None if tgt_mask is None else tgt_mask[:, known:]
        prefix = Prefix(source=source)
        for number, (layer, pairs) in enumerate(zip(self.decoders, layers)):
            before = None if cache is None else cache[number]
            x, tokens = attend_to_prefix(layer, x, before, mask)
            x = attend_to_source(layer, x, pairs, memory_mask)
            x = add_part(layer, x, 3, layer.feed_forward)
            prefix.append(tokens)
        hidden = x[:, -1]
        if self.normalize_before:
            hidden = self.after_norm(hidden)
        y = hidden
        if self.output_layer is not None:
            y = torch.log_softmax(self.output_layer(y), dim=-1)
        return ((y, hidden) if return_hs else y), prefix

    def batch_score(
        self,
        ys: torch.Tensor,
        states: list[Any],
        xs: torch.Tensor,
        return_hs: bool = False,
        xs_mask: torch.Tensor | None = None,
    ) -> tuple[Scores, list[Any]]:
        """Score the token after each of several prefixes.

        Args:
            ys: prefixes, (#batch, tokens).
            states: state of every hypothesis, None at the first step.
            xs: encoder output, (#batch, time, size).
            return_hs: also return the hidden vectors that the scores were made of.
            xs_mask: (1 or #batch, 1, time), true on real frames, or None.

        Returns:
            As :meth:`forward_one_step`, but with a state for every hypothesis.
        """
        cache = stacked(states, xs)
        # The last token sees all.
        mask = _causal_mask(ys) if cache is None else None
        scores, prefix = self.forward_one_step(
            ys, mask, xs, xs_mask, cache=cache, return_hs=return_hs
        )
        return scores, prefix.by_hypothesis()

    def _project_source(self, memory: torch.Tensor) -> list[HeadPairs]:
        """Return keys and values of every layer for (#batch, time, size)."""
        layers = []
        for layer in self.decoders:
            pairs = layer.src_attn.by_head(layer.src_attn.project(memory))
            layers.append(
                [(key.contiguous(), value.contiguous()) for key, value in pairs]
            )
        return layers


def _causal_mask(ys: torch.Tensor) -> torch.Tensor:
    """Mask with which a token sees those up to itself, (1, tokens, tokens)."""
    tokens = ys.size(1)
    return torch.ones(1, tokens, tokens, dtype=torch.bool, device=ys.device).tril()


def _narrow(layer: torch.nn.Module, widths: LayerWidths) -> None:
    """Give the parts of ESPnet's DecoderLayer their widths."""
    layer.self_attn = keeping_attention(
        layer.self_attn, widths.self_query, widths.self_value
    )
    layer.src_attn = keeping_attention(
        layer.src_attn, widths.source_query, widths.source_value
    )
    hidden = layer.feed_forward
    hidden.w_1 = linear(hidden.w_1.in_features, widths.ffn)
    hidden.w_2 = linear(widths.ffn, hidden.w_2.out_features)
    if not layer.normalize_before:
        return
    # Layer norms before parts that only add their biases
    unread = [] if widths.ffn else ["norm3"]
    if not layer.concat_after:
        unread += [] if sum(widths.self_value) else ["norm1"]
        unread += [] if sum(widths.source_value) else ["norm2"]
    for name in unread:
        setattr(layer, name, SkippedNorm.of(getattr(layer, name)))
