"""The one table of places in a Conformer whose units can be removed.

A location names a module of its owner (an EncoderLayer of ESPnet, or the encoder for
the input layer), the attribute of that module that holds the gate, and every slice of
every tensor that goes when a unit goes. Attaching gates, counting, cutting and
reporting all read this table.
"""

from __future__ import annotations

import dataclasses
from typing import Callable, Dict, Iterable, List, Optional, Tuple, Union

import torch

from espnet_adaptive_dropout.modules.attention import gated_attention
from espnet_adaptive_dropout.modules.convolution import gated_convolution
from espnet_adaptive_dropout.modules.feed_forward import gated_feed_forward
from espnet_adaptive_dropout.modules.subsampling import gated_subsampling


@dataclasses.dataclass(frozen=True)
class Slice:
    """What of one tensor goes with a unit.

    Args:
        name: of the tensor in its module.
        axis: along which the units lie.
        repeats: how often the units follow one another on it (2: the halves of a
            gated linear unit).
    """

    name: str
    axis: int
    repeats: int = 1

    def by_unit(self, tensor: torch.Tensor, units: int) -> torch.Tensor:
        """All entries that belong to each unit, (units, entries of each)."""
        rows = tensor.movedim(self.axis, 0).reshape(self.repeats, units, -1)
        return rows.transpose(0, 1).reshape(units, -1)

    def places(self, tensor: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        """Where the chosen units, bool (units,), lie along the axis of ``tensor``."""
        places = torch.arange(tensor.shape[self.axis])
        places = places.view(self.repeats, len(chosen), -1)
        return places[:, chosen].flatten()


@dataclasses.dataclass(frozen=True)
class Location:
    """One kind of unit.

    Args:
        name: as written in configs, plans and reports.
        module: attribute of the owner.
        gate: attribute of that module that holds the AdaptiveDropout; may be dotted.
        slices: what goes with a unit. A ``pos_bias`` is (heads, d_k) in the stock
            module and counts as flat.
        per_head: units are laid out head by head and may be unequal between heads.
        attended: (with frames, with positions): whether a unit also takes part in
            the products of frames with frames and of frames with positions.
        gated: makes the form of the stock module that has the gate; None where
            the gate simply replaces a dropout.
        summary: one line for people.
        in_paper: whether arXiv 2412.04836 prunes it; it is then gated by default.
    """

    name: str
    module: str
    gate: str
    slices: Tuple[Slice, ...]
    per_head: bool
    attended: Tuple[bool, bool]
    gated: Optional[Callable[[torch.nn.Module], torch.nn.Module]]
    summary: str
    in_paper: bool = True

    @property
    def in_input_layer(self) -> bool:
        """Whether the owner is the encoder, not one of its blocks."""
        return self.module == INPUT_LAYER


# Attribute of the encoder
INPUT_LAYER = "embed"

_FEED_FORWARD = (Slice("w_1.weight", 0), Slice("w_1.bias", 0), Slice("w_2.weight", 1))
_QUERY = (
    Slice("linear_q.weight", 0),
    Slice("linear_q.bias", 0),
    Slice("linear_k.weight", 0),
    Slice("linear_k.bias", 0),
    Slice("linear_pos.weight", 0),
    Slice("pos_bias_u", 0),
    Slice("pos_bias_v", 0),
)
_VALUE = (
    Slice("linear_v.weight", 0),
    Slice("linear_v.bias", 0),
    Slice("linear_out.weight", 1),
)
_CONV_INPUT = (Slice("pointwise_conv1.weight", 1),)
_CONV_CHANNEL = (
    Slice("depthwise_conv.weight", 0),
    Slice("depthwise_conv.bias", 0),
    Slice("pointwise_conv1.weight", 0, repeats=2),
    Slice("pointwise_conv1.bias", 0, repeats=2),
    Slice("norm.weight", 0),
    Slice("norm.bias", 0),
    Slice("norm.running_mean", 0),
    Slice("norm.running_var", 0),
    Slice("pointwise_conv2.weight", 1),
)

_SUBSAMPLING_1 = (
    Slice("conv.0.weight", 0),
    Slice("conv.0.bias", 0),
    Slice("conv.2.weight", 1),
)
_SUBSAMPLING_2 = (
    Slice("conv.2.weight", 0),
    Slice("conv.2.bias", 0),
    # One of these, see compat.rename_subsampling_output; all frequencies of a channel
    Slice("out.weight", 1),
    Slice("out.0.weight", 1),
)

LOCATIONS: Dict[str, Location] = {
    location.name: location
    for location in (
        Location(
            "subsampling_1",
            INPUT_LAYER,
            "conv.1.gate",
            _SUBSAMPLING_1,
            False,
            (False, False),
            gated_subsampling,
            "channels of the first convolution of the input layer",
            in_paper=False,
        ),
        Location(
            "subsampling_2",
            INPUT_LAYER,
            "conv.3.gate",
            _SUBSAMPLING_2,
            False,
            (False, False),
            gated_subsampling,
            "channels of the second convolution of the input layer",
            in_paper=False,
        ),
        Location(
            "ffn_macaron",
            "feed_forward_macaron",
            "dropout",
            _FEED_FORWARD,
            False,
            (False, False),
            gated_feed_forward,
            "hidden units of the macaron feed-forward module",
        ),
        Location(
            "query",
            "self_attn",
            "query_gate",
            _QUERY,
            True,
            (True, True),
            gated_attention,
            "query (and key, position) units of every head",
        ),
        Location(
            "value",
            "self_attn",
            "value_gate",
            _VALUE,
            True,
            (True, False),
            gated_attention,
            "value units of every head",
        ),
        Location(
            "conv_input",
            "conv_module",
            "input_gate",
            _CONV_INPUT,
            False,
            (False, False),
            gated_convolution,
            "input vectors of the convolution module",
        ),
        Location(
            "conv_channel",
            "conv_module",
            "channel_gate",
            _CONV_CHANNEL,
            False,
            (False, False),
            gated_convolution,
            "channels of the depthwise convolution",
            in_paper=False,
        ),
        Location(
            "ffn",
            "feed_forward",
            "dropout",
            _FEED_FORWARD,
            False,
            (False, False),
            gated_feed_forward,
            "hidden units of the feed-forward module",
        ),
    )
}


# Names for several locations at once.
ALIASES = {"subsampling": ("subsampling_1", "subsampling_2"), "all": tuple(LOCATIONS)}


def expand(names: Union[str, Iterable[str]]) -> List[str]:
    """Names of locations, aliases replaced, in the order of the table.

    Raises:
        ValueError: a name is unknown.
    """
    chosen = set()
    for name in [names] if isinstance(names, str) else names:
        if name not in LOCATIONS and name not in ALIASES:
            raise ValueError(
                f"unknown location {name!r}; known are "
                f"{', '.join([*LOCATIONS, *ALIASES])}"
            )
        chosen.update(ALIASES.get(name, (name,)))
    return [name for name in LOCATIONS if name in chosen]
