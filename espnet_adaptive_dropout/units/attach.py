"""The locations of the modules of an encoder or a decoder, and their gates."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator

import torch

from espnet_adaptive_dropout.modules.gate import AdaptiveDropout
from espnet_adaptive_dropout.modules.subsampling import has_two_convolutions
from espnet_adaptive_dropout.units.location import INPUT_LAYER, Location
from espnet_adaptive_dropout.units.locations import LOCATIONS, expand


def kind_of(owner: torch.nn.Module) -> str:
    """Whether a stack, or a block of one, is an "encoder" or a "decoder"."""
    is_decoder = hasattr(owner, "decoders") or hasattr(owner, "src_attn")
    return "decoder" if is_decoder else "encoder"


def owners(stack: torch.nn.Module) -> Iterator[tuple[int | None, torch.nn.Module]]:
    """Modules that have locations, in order.

    Of an encoder (None, encoder), (0, block 0), ...; of a decoder (0, layer 0), ...
    """
    if kind_of(stack) == "decoder":
        yield from enumerate(stack.decoders)
        return
    yield None, stack
    yield from enumerate(stack.encoders)


def available(owner: torch.nn.Module) -> list[Location]:
    """Locations that an owner has, in the order of the computation."""
    kind = kind_of(owner)
    return [
        location
        for location in LOCATIONS.values()
        if location.stack == kind
        and getattr(owner, location.module, None) is not None
        and (not location.in_input_layer or has_two_convolutions(owner.embed))
    ]


def why_not(owner: torch.nn.Module, location: Location) -> str | None:
    """Why units of ``location`` cannot be removed exactly here, or None."""
    if location not in available(owner):
        reasons = {
            "feed_forward_macaron": "it has no such module (macaron_style: false)",
            "conv_module": "it has no such module (use_cnn_module: false)",
            INPUT_LAYER: "input_layer must be conv2d, conv2d1, conv2d2 or conv2d6",
        }
        return reasons[location.module]
    module = getattr(owner, location.module)
    if location.per_head and isinstance(
        getattr(module, "q_norm", None), torch.nn.LayerNorm
    ):
        return "qk_norm normalises over the units of full-width heads"
    return None


def possible(owner: torch.nn.Module) -> list[str]:
    """Names of the locations whose units can be removed in an owner."""
    return [x.name for x in available(owner) if why_not(owner, x) is None]


def select(
    owner: torch.nn.Module, names: str | Iterable[str] | None = None
) -> list[Location]:
    """Resolve the names of a config to locations of this owner.

    Args:
        owner: a module of :func:`owners`.
        names: location names; "all" takes all that can be pruned here, None those
            of them that the paper prunes.

    Raises:
        ValueError: a name is unknown or of the other kind of stack, or its units
            cannot be removed here.
    """
    kind = kind_of(owner)
    can = [LOCATIONS[name] for name in possible(owner)]
    if names is None:
        return [location for location in can if location.by_default]
    names = [names] if isinstance(names, str) else list(names)
    chosen = [LOCATIONS[name] for name in expand(names)]
    if "all" in names:
        return can
    for location in chosen:
        if location.stack != kind:
            raise ValueError(
                f"location {location.name!r} is one of the {location.stack}: name it "
                f"in {location.stack}_conf.adaptive_dropout_conf.locations"
            )
    is_encoder = hasattr(owner, "encoders")
    chosen = [x for x in chosen if x.in_input_layer == is_encoder]
    for location in chosen:
        if location not in can:
            raise ValueError(
                f"location {location.name!r} cannot be pruned in this {kind}: "
                f"{why_not(owner, location)}; leave it out of "
                f"adaptive_dropout_conf.locations"
            )
    return chosen


def gate_of(owner: torch.nn.Module, location: Location) -> AdaptiveDropout | None:
    """The gate of a location, or None."""
    module = getattr(owner, location.module)
    try:
        gate = operator.attrgetter(location.gate)(module)
    except AttributeError:
        return None
    return gate if isinstance(gate, AdaptiveDropout) else None


def set_gate(owner: torch.nn.Module, location: Location, gate: AdaptiveDropout) -> None:
    """Give a module its gated form and put the gate into it."""
    module = getattr(owner, location.module)
    module = location.gated(module)
    setattr(owner, location.module, module)
    path, _, name = location.gate.rpartition(".")
    setattr(module.get_submodule(path), name, gate)


def dropout_rate(owner: torch.nn.Module, location: Location) -> float:
    """Rate of the ordinary dropout that the gate replaces; 0.0 if there is none."""
    module = getattr(owner, location.module)
    path, _, name = location.gate.rpartition(".")
    there = getattr(module.get_submodule(path), name, None)
    return there.p if isinstance(there, torch.nn.Dropout) else 0.0


def unit_count(owner: torch.nn.Module, location: Location) -> int:
    """Number of units of ``location`` in a full-width owner."""
    first = location.slices[0]
    tensor = getattr(owner, location.module).get_parameter(first.name)
    return tensor.shape[first.axis]
