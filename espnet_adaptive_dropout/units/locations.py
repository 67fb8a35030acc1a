"""The one table of locations: the kinds of units that a Conformer can lose.

A location names a module of its owner (an EncoderLayer of ESPnet, or the encoder for
the input layer), the attribute of that module that holds the gate, and every slice of
every tensor that goes when a unit goes. Attaching gates, counting, cutting and
reporting all read this table.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Callable

import torch

from espnet_adaptive_dropout.modules.attention import gated_attention
from espnet_adaptive_dropout.modules.convolution import gated_convolution
from espnet_adaptive_dropout.modules.feed_forward import gated_feed_forward
from espnet_adaptive_dropout.modules.subsampling import gated_subsampling


@dataclasses.dataclass(frozen=True)
class Slice:
    """The part of one tensor that goes with a unit.

    Args:
        name: name of the tensor in the module.
        axis: axis along which the units lie.
        repeats: how often the units follow one another along the axis (2: the halves
            of a gated linear unit).
    """

    name: str
    axis: int
    repeats: int = 1

    def by_unit(self, tensor: torch.Tensor, num_units: int) -> torch.Tensor:
        """All entries of ``tensor`` that belong to each unit, (units, entries)."""
        rows = tensor.movedim(self.axis, 0).reshape(self.repeats, num_units, -1)
        return rows.transpose(0, 1).reshape(num_units, -1)

    def indices(self, tensor: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        """Indices of the chosen units, bool (units,), on the axis of ``tensor``."""
        indices = torch.arange(tensor.shape[self.axis])
        indices = indices.view(self.repeats, len(chosen), -1)
        return indices[:, chosen].flatten()


@dataclasses.dataclass(frozen=True)
class Location:
    """One kind of unit.

    Args:
        name: name in configs, plans and reports.
        summary: description in one line.
        module: attribute of the owner that holds the module.
        gate: attribute of that module that holds the AdaptiveDropout; may be dotted.
        slices: parts of tensors that go with a unit. A ``pos_bias``, (heads, d_k) in
            the stock module, counts as flat.
        masked: names of the tensors that the mask of a unit scales: those on one
            side of the mask, without an activation function between.
        gated: function that returns the gated form of the stock module.
        per_head: whether units are laid out head by head and may be unequal
            between heads.
        attends_frames: whether a unit also takes part in a product of frames with
            frames.
        attends_positions: the same for frames with relative positions.
        depends_on: name of the location of the same block without whose units, head
            by head, these have no effect.
        in_paper: whether arXiv 2412.04836 prunes it; it is then gated by default.
    """

    name: str
    summary: str
    module: str
    gate: str
    slices: tuple[Slice, ...]
    masked: tuple[str, ...]
    gated: Callable[[torch.nn.Module], torch.nn.Module]
    per_head: bool = False
    attends_frames: bool = False
    attends_positions: bool = False
    depends_on: str | None = None
    in_paper: bool = True

    @property
    def in_input_layer(self) -> bool:
        """Whether the owner is the encoder, not one of its blocks."""
        return self.module == INPUT_LAYER


# Attribute of the encoder
INPUT_LAYER = "embed"


def _slices(axis: int, *names: str, repeats: int = 1) -> tuple[Slice, ...]:
    return tuple(Slice(name, axis, repeats) for name in names)


_FEED_FORWARD = (*_slices(0, "w_1.weight", "w_1.bias"), *_slices(1, "w_2.weight"))
_QUERY = (
    *_slices(0, "linear_q.weight", "linear_q.bias", "linear_k.weight", "linear_k.bias"),
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
            in_paper=False,
        ),
        Location(
            name="subsampling_2",
            summary="channels of the second convolution of the input layer",
            module=INPUT_LAYER,
            gate="conv.3.gate",
            slices=_SUBSAMPLING_2,
            masked=("out.weight", "out.0.weight"),
            gated=gated_subsampling,
            in_paper=False,
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
            attends_frames=True,
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
            attends_frames=True,
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
            in_paper=False,
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
    )
}


# Names for several locations at once.
ALIASES = {"subsampling": ("subsampling_1", "subsampling_2"), "all": tuple(LOCATIONS)}


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
