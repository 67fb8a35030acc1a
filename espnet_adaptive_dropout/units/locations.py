"""The one table of locations: the kinds of units that a model can lose.

A location names a module of its owner (an EncoderLayer or a DecoderLayer of ESPnet, or
the encoder for the input layer), the attribute of that module that holds the gate, and
every slice of every tensor that goes when a unit goes. Attaching gates, counting,
cutting and reporting all read this table.
"""

from __future__ import annotations

from collections.abc import Iterable

from espnet_adaptive_dropout.modules.attention import gated_attention
from espnet_adaptive_dropout.modules.convolution import gated_convolution
from espnet_adaptive_dropout.modules.feed_forward import gated_feed_forward
from espnet_adaptive_dropout.modules.subsampling import gated_subsampling
from espnet_adaptive_dropout.units.location import INPUT_LAYER, Location, Slice


def _slices(axis: int, *names: str, repeats: int = 1) -> tuple[Slice, ...]:
    return tuple(Slice(name, axis, repeats) for name in names)


_FEED_FORWARD = (*_slices(0, "w_1.weight", "w_1.bias"), *_slices(1, "w_2.weight"))
_PLAIN_QUERY = _slices(
    0, "linear_q.weight", "linear_q.bias", "linear_k.weight", "linear_k.bias"
)
_QUERY = (
    *_PLAIN_QUERY,
    *_slices(0, "linear_pos.weight", "pos_bias_u", "pos_bias_v"),
)
_VALUE = (
    *_slices(0, "linear_v.weight", "linear_v.bias"),
    *_slices(1, "linear_out.weight"),
)
_CONV_INPUT = _slices(1, "pointwise_conv1.weight")
_CONV_CHANNEL = (
    *_slices(0, "depthwise_conv.weight", "depthwise_conv.bias"),
    *_slices(0, "pointwise_conv1.weight", "pointwise_conv1.bias", repeats=2),
    *_slices(0, "norm.weight", "norm.bias", "norm.running_mean", "norm.running_var"),
    *_slices(1, "pointwise_conv2.weight"),
)
_SUBSAMPLING_1 = (
    *_slices(0, "conv.0.weight", "conv.0.bias"),
    *_slices(1, "conv.2.weight"),
)
_SUBSAMPLING_2 = (
    *_slices(0, "conv.2.weight", "conv.2.bias"),
    # One of the two, see compat.rename_subsampling_output; all frequencies of a channel
    *_slices(1, "out.weight", "out.0.weight"),
)


def _decoder_attention(kind: str, module: str) -> tuple[Location, Location]:
    """Query and value units of one of the two attentions of a decoder layer."""
    query = Location(
        name=f"{kind}_query",
        summary=f"query (and key) units of every head of the {kind} attention",
        module=module,
        gate="query_gate",
        slices=_PLAIN_QUERY,
        masked=("linear_q.weight", "linear_q.bias"),
        gated=gated_attention,
        stack="decoder",
        per_head=True,
        attends=True,
        depends_on=f"{kind}_value",
    )
    value = Location(
        name=f"{kind}_value",
        summary=f"value units of every head of the {kind} attention",
        module=module,
        gate="value_gate",
        slices=_VALUE,
        masked=("linear_v.weight", "linear_v.bias"),
        gated=gated_attention,
        stack="decoder",
        per_head=True,
        attends=True,
    )
    return query, value


LOCATIONS: dict[str, Location] = {
    location.name: location
    for location in (
        Location(
            name="subsampling_1",
            summary="channels of the first convolution of the input layer",
            module=INPUT_LAYER,
            gate="conv.1.gate",
            slices=_SUBSAMPLING_1,
            masked=("conv.2.weight",),
            gated=gated_subsampling,
            depends_on="subsampling_2",
            by_default=False,
        ),
        Location(
            name="subsampling_2",
            summary="channels of the second convolution of the input layer",
            module=INPUT_LAYER,
            gate="conv.3.gate",
            slices=_SUBSAMPLING_2,
            masked=("out.weight", "out.0.weight"),
            gated=gated_subsampling,
            by_default=False,
        ),
        Location(
            name="ffn_macaron",
            summary="hidden units of the macaron feed-forward module",
            module="feed_forward_macaron",
            gate="dropout",
            slices=_FEED_FORWARD,
            masked=("w_2.weight",),
            gated=gated_feed_forward,
        ),
        Location(
            name="query",
            summary="query (and key, position) units of every head",
            module="self_attn",
            gate="query_gate",
            slices=_QUERY,
            masked=("linear_q.weight", "linear_q.bias", "pos_bias_u", "pos_bias_v"),
            gated=gated_attention,
            per_head=True,
            attends=True,
            attends_positions=True,
            depends_on="value",
        ),
        Location(
            name="value",
            summary="value units of every head",
            module="self_attn",
            gate="value_gate",
            slices=_VALUE,
            masked=("linear_v.weight", "linear_v.bias"),
            gated=gated_attention,
            per_head=True,
            attends=True,
        ),
        Location(
            name="conv_input",
            summary="input vectors of the convolution module",
            module="conv_module",
            gate="input_gate",
            slices=_CONV_INPUT,
            masked=("pointwise_conv1.weight",),
            gated=gated_convolution,
            depends_on="conv_channel",
        ),
        Location(
            name="conv_channel",
            summary="channels of the depthwise convolution",
            module="conv_module",
            gate="channel_gate",
            slices=_CONV_CHANNEL,
            masked=("pointwise_conv2.weight",),
            gated=gated_convolution,
            by_default=False,
        ),
        Location(
            name="ffn",
            summary="hidden units of the feed-forward module",
            module="feed_forward",
            gate="dropout",
            slices=_FEED_FORWARD,
            masked=("w_2.weight",),
            gated=gated_feed_forward,
        ),
        *_decoder_attention("self", "self_attn"),
        *_decoder_attention("source", "src_attn"),
        Location(
            name="decoder_ffn",
            summary="hidden units of the feed-forward module of the decoder",
            module="feed_forward",
            gate="dropout",
            slices=_FEED_FORWARD,
            masked=("w_2.weight",),
            gated=gated_feed_forward,
            stack="decoder",
        ),
    )
}


# Names for several locations at once.
ALIASES = {"subsampling": ("subsampling_1", "subsampling_2"), "all": tuple(LOCATIONS)}


def names_of(stack: str) -> list[str]:
    """Names of the locations of an "encoder" or a "decoder"."""
    return [name for name, location in LOCATIONS.items() if location.stack == stack]


def by_default(stack: str) -> list[str]:
    """Names of those locations of a stack that are gated where none are named.

    Args:
        stack: "encoder" or "decoder".
    """
    return [name for name in names_of(stack) if LOCATIONS[name].by_default]


def expand(names: str | Iterable[str]) -> list[str]:
    """Names of locations in the order of the table, aliases replaced.

    Raises:
        ValueError: a name is unknown.
    """
    chosen: set[str] = set()
    for name in [names] if isinstance(names, str) else names:
        if name not in LOCATIONS and name not in ALIASES:
            raise ValueError(
                f"unknown location {name!r}; known are "
                f"{', '.join([*LOCATIONS, *ALIASES])}"
            )
        chosen.update(ALIASES.get(name, (name,)))
    return [name for name in LOCATIONS if name in chosen]
