"""The one table of places in a Conformer block whose units can be removed.

A location names a module of ESPnet's EncoderLayer, the attribute of that module
that holds the gate, and every slice of every tensor that goes when a unit goes.
Attaching gates, counting, cutting and reporting all read this table.
"""

from __future__ import annotations

import dataclasses
from typing import Callable, Dict, Iterable, List, Optional, Tuple

import torch

from espnet_adaptive_dropout.attention import gated_attention
from espnet_adaptive_dropout.convolution import gated_convolution


@dataclasses.dataclass(frozen=True)
class Location:
    """One kind of unit.

    Args:
        name: as written in configs, plans and reports.
        module: attribute of the EncoderLayer.
        gate: attribute of that module that holds the AdaptiveDropout.
        slices: (tensor of the module, axis) pairs that lose one entry with a unit.
            A ``pos_bias`` is (heads, d_k) in the stock module and counts as flat.
        per_head: units are laid out head by head and may be unequal between heads.
        attended: (with frames, with positions): whether a unit also takes part in
            the products of frames with frames and of frames with positions.
        gated: makes the form of the stock module that has the gate; None where
            the gate simply replaces a dropout.
        summary: one line for people.
    """

    name: str
    module: str
    gate: str
    slices: Tuple[Tuple[str, int], ...]
    per_head: bool
    attended: Tuple[bool, bool]
    gated: Optional[Callable[[torch.nn.Module], torch.nn.Module]]
    summary: str


_FEED_FORWARD = (("w_1.weight", 0), ("w_1.bias", 0), ("w_2.weight", 1))
_QUERY = (
    ("linear_q.weight", 0),
    ("linear_q.bias", 0),
    ("linear_k.weight", 0),
    ("linear_k.bias", 0),
    ("linear_pos.weight", 0),
    ("pos_bias_u", 0),
    ("pos_bias_v", 0),
)
_VALUE = (("linear_v.weight", 0), ("linear_v.bias", 0), ("linear_out.weight", 1))
_CONV_INPUT = (("pointwise_conv1.weight", 1),)

LOCATIONS: Dict[str, Location] = {
    location.name: location
    for location in (
        Location(
            "ffn_macaron",
            "feed_forward_macaron",
            "dropout",
            _FEED_FORWARD,
            False,
            (False, False),
            None,
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
            "ffn",
            "feed_forward",
            "dropout",
            _FEED_FORWARD,
            False,
            (False, False),
            None,
            "hidden units of the feed-forward module",
        ),
    )
}


def available(layer: torch.nn.Module) -> List[Location]:
    """Locations that an EncoderLayer has, in the order of the computation."""
    return [
        location
        for location in LOCATIONS.values()
        if getattr(layer, location.module, None) is not None
    ]


def why_not(layer: torch.nn.Module, location: Location) -> Optional[str]:
    """Why units of ``location`` cannot be removed exactly in this layer, or None."""
    module = getattr(layer, location.module, None)
    if module is None:
        option = {
            "feed_forward_macaron": "macaron_style",
            "conv_module": "use_cnn_module",
        }[location.module]
        return f"the encoder has no {location.module} ({option}: false)"
    if location.per_head and isinstance(
        getattr(module, "q_norm", None), torch.nn.LayerNorm
    ):
        return "qk_norm normalises over the units of full-width heads"
    return None


def select(
    layer: torch.nn.Module, names: Optional[Iterable[str]] = None
) -> List[Location]:
    """Resolve the names of a config to locations of this layer.

    Args:
        layer: an EncoderLayer.
        names: location names; None takes all that can be pruned here.

    Raises:
        ValueError: a name is unknown, or its units cannot be removed here.
    """
    if names is None:
        chosen = [x.name for x in available(layer) if why_not(layer, x) is None]
    else:
        chosen = list(names)
    for name in chosen:
        if name not in LOCATIONS:
            raise ValueError(
                f"unknown location {name!r} in adaptive_dropout_conf.locations; "
                f"known are {', '.join(LOCATIONS)}"
            )
        reason = why_not(layer, LOCATIONS[name])
        if reason:
            raise ValueError(
                f"location {name!r} cannot be pruned in this encoder: {reason}; "
                f"leave it out of adaptive_dropout_conf.locations"
            )
    return [location for location in LOCATIONS.values() if location.name in chosen]


def unit_count(layer: torch.nn.Module, location: Location) -> int:
    """Number of units of ``location`` in an EncoderLayer of full width."""
    name, axis = location.slices[0]
    return getattr(layer, location.module).get_parameter(name).shape[axis]


def unit_cost(layer: torch.nn.Module, location: Location) -> int:
    """Parameters that go with one unit of ``location`` (exact)."""
    units = unit_count(layer, location)
    sizes = [
        parameter.numel()
        for name, parameter in getattr(layer, location.module).named_parameters()
        if any(name == sliced for sliced, _ in location.slices)
    ]
    return sum(sizes) // units


def unit_macs(
    layer: torch.nn.Module, location: Location, frames: int, positions: int
) -> int:
    """Multiply-accumulates that go with one unit of ``location`` (exact).

    Args:
        layer: an EncoderLayer of full width.
        location: one that it has.
        frames: length of its input.
        positions: length of the relative-position embedding; 0 without.
    """
    module = getattr(layer, location.module)
    macs = 0
    for name, _ in location.slices:
        parameter = dict(module.named_parameters()).get(name)
        if parameter is None or not name.endswith("weight"):
            continue
        times = positions if name.startswith("linear_pos") else frames
        macs += times * parameter.numel() // unit_count(layer, location)
    with_frames, with_positions = location.attended
    return macs + frames * (frames * with_frames + positions * with_positions)
