"""The parts of ESPnet's decoder layer, for new tokens only."""

from __future__ import annotations

from typing import Callable

import torch

from espnet_adaptive_dropout.modules.kept_attention import HeadPairs


def add_part(
    layer: torch.nn.Module,
    x: torch.Tensor,
    number: int,
    part: Callable[[torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """Add a part of a decoder layer to its input as ESPnet does.

    Args:
        layer: ESPnet's DecoderLayer.
        x: (#batch, tokens, size).
        number: 1 for the self-attention, 2 for the source attention, 3 for the rest.
        part: maps (#batch, tokens, size) to the same shape.
    """
    norm = getattr(layer, f"norm{number}")
    y = norm(x) if layer.normalize_before else x
    if layer.concat_after and number < 3:
        concat = getattr(layer, f"concat_linear{number}")
        x = x + concat(torch.cat((y, part(y)), dim=-1))
    else:
        x = x + layer.dropout(part(y))
    return x if layer.normalize_before else norm(x)


def attend_to_prefix(
    layer: torch.nn.Module,
    x: torch.Tensor,
    before: torch.Tensor | None,
    mask: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Self-attention of new tokens.

    Args:
        layer: decoder layer.
        x: new tokens, (#batch, new tokens, size).
        before: keys and values of the tokens before, (#batch, tokens, units), or None.
        mask: (1 or #batch, new tokens, all tokens), or None.

    Returns:
        (#batch, new tokens, size), and keys and values of all tokens.
    """
    attention = layer.self_attn
    kept = [] if before is None else [before]

    def attend(y: torch.Tensor) -> torch.Tensor:
        kept.append(attention.project(y))
        kept[:] = [torch.cat(kept, dim=1)]
        return attention.attend_to(y, attention.by_head(kept[0]), mask)

    return add_part(layer, x, 1, attend), kept[0]


def attend_to_source(
    layer: torch.nn.Module,
    x: torch.Tensor,
    pairs: HeadPairs,
    mask: torch.Tensor | None,
) -> torch.Tensor:
    """Source attention; hypotheses of the same source are tokens of one sequence.

    Args:
        layer: decoder layer.
        x: (#batch, tokens, size).
        pairs: keys and values of the sources, as ``by_head`` gives them; #batch is a
            multiple of their number, and the hypotheses of a source are neighbours.
        mask: (1 or #batch, 1, time) or None.

    Returns:
        (#batch, tokens, size).
    """
    batch, tokens, _ = x.shape
    rows = pairs[0][0].size(0) if pairs else 1
    if mask is not None:
        mask = mask.expand(batch, tokens, -1).reshape(rows, -1, mask.size(-1))

    def attend(y: torch.Tensor) -> torch.Tensor:
        y = layer.src_attn.attend_to(y.reshape(rows, -1, y.size(-1)), pairs, mask)
        return y.reshape(x.shape)

    return add_part(layer, x, 2, attend)
