"""Self-attention head by head, for inference on a CPU.

Reads every head where it lies, without filling up or copying, and shifts relative
positions by a view. On a CPU that is faster than heads side by side (``head_grid``).
"""

from __future__ import annotations

import math
from typing import Callable, List, Optional, Sequence, Tuple

import torch

# Scores (#batch, time1, time2) that relative positions add to a head.
PositionScores = Callable[[slice], torch.Tensor]


def attend_by_head(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    position_scores: Optional[PositionScores],
    mask: Optional[torch.Tensor],
    d_k: int,
    widths: Sequence[Tuple[int, int]],
) -> torch.Tensor:
    """Scaled dot-product attention of all heads; equals ``attention.attend``.

    Args:
        query: (#batch, time1, units), head after head, with the position bias.
        key: (#batch, time2, units).
        value: (#batch, time2, value units).
        position_scores: of the head whose units are the slice, or None.
        mask: (#batch, 1, time2) or (#batch, time1, time2), 0 on padding, or None.
        d_k: the ORIGINAL width of a head: the scale is 1 / sqrt(d_k).
        widths: query and value units of every head.

    Returns:
        (#batch, time1, value units); not differentiable.
    """
    padding = None if mask is None or bool(mask.all()) else mask.eq(0)
    scale = 1.0 / math.sqrt(d_k)
    contexts: List[torch.Tensor] = []
    first_query = first_value = 0
    for query_width, value_width in widths:
        units = slice(first_query, first_query + query_width)
        values = slice(first_value, first_value + value_width)
        first_query, first_value = units.stop, values.stop
        if value_width == 0:
            continue
        scores = _scores(query, key, units, position_scores, scale)
        if padding is None:
            weights = torch.softmax(scores, dim=-1)
        else:
            scores.masked_fill_(padding, torch.finfo(scores.dtype).min)
            weights = torch.softmax(scores, dim=-1).masked_fill_(padding, 0.0)
        contexts.append(torch.bmm(weights, value[..., values]))
    return torch.cat(contexts, dim=-1)


def _scores(
    query: torch.Tensor,
    key: torch.Tensor,
    units: slice,
    position_scores: Optional[PositionScores],
    scale: float,
) -> torch.Tensor:
    """Scores of a head, (#batch, time1, time2)."""
    if units.start == units.stop:
        return query.new_zeros(query.size(0), query.size(1), key.size(1))
    query, key = query[..., units], key[..., units].transpose(1, 2)
    if position_scores is None:
        return torch.bmm(query, key).mul_(scale)
    return torch.baddbmm(position_scores(units), query, key, beta=scale, alpha=scale)


def shifted_view(scores: torch.Tensor) -> torch.Tensor:
    """Scores by distance as scores by place: element [i, j] is [i, time - 1 + j - i].

    Args:
        scores: (#batch, time, 2 time - 1), contiguous.

    Returns:
        A view (#batch, time, time): ESPnet's ``rel_shift`` of "latest" positions.
    """
    batch, time, distances = scores.shape
    return scores.as_strided(
        (batch, time, time), (time * distances, distances - 1, 1), time - 1
    )
