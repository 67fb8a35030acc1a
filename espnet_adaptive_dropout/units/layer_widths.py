"""Widths of a compact decoder, as they are written in a config."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from espnet_adaptive_dropout.units.table import UnitTable
from espnet_adaptive_dropout.units.widths import (
    check_head_widths,
    check_width,
    describe_groups,
    entries,
    width_of,
)


@dataclasses.dataclass
class LayerWidths:
    """Number of units of one decoder layer.

    Args:
        ffn: hidden units of the feed-forward module.
        self_query: query units of every head of the self-attention.
        self_value: value units of every head of the self-attention.
        source_query: query units of every head of the source attention.
        source_value: value units of every head of the source attention.
    """

    ffn: int
    self_query: list[int]
    self_value: list[int]
    source_query: list[int]
    source_value: list[int]


def parse_layer_widths(widths: Any, num_blocks: int, heads: int) -> list[LayerWidths]:
    """Check ``decoder_conf.widths`` against the architecture.

    Args:
        widths: one mapping for every layer, see :class:`LayerWidths`.
        num_blocks: number of layers.
        heads: number of attention heads.

    Raises:
        ValueError: the list is of the wrong length, or an entry does not fit; the
            message names the layer and the key.
    """
    names = [field.name for field in dataclasses.fields(LayerWidths)]
    layers = []
    option = "decoder_conf.widths"
    for where, options in entries(option, widths, num_blocks, set(names)):
        check_width(f"{where}.ffn", options["ffn"])
        for name in names[1:]:
            check_head_widths(f"{where}.{name}", options[name], heads)
        layers.append(LayerWidths(**options))
    return layers


def compact_decoder_options(table: UnitTable, keep: torch.Tensor) -> dict[str, Any]:
    """Return the options that a compact decoder has beside those of ESPnet's.

    Args:
        table: unit table of the full-width decoder.
        keep: which units stay, without unused ones, bool (units,).
    """
    _, *layers = describe_groups(table, lambda group: width_of(group, keep))
    return {"widths": layers}
