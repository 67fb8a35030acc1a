"""Self-attention head by head, for inference on a CPU.

Reads every head without padding or copying, and shifts relative positions by a view.
On a CPU that is faster than padded heads (``padded_heads``), and takes less memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Callable

import torch

# Rows of scores that are computed together: with relative positions few rows need few
# distances, and they stay in the cache. Best of 64 to 512, utterances of 5 to 30 s.
ROWS = 128

# (units of a head, rows) -> scores of relative positions, (#batch, rows, time2)
PositionScores = Callable[[slice, slice], torch.Tensor]


def attend_by_head(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    position_scores: PositionScores | None,
    mask: torch.Tensor | None,
    d_k: int,
    widths: Sequence[tuple[int, int]],
    rows: int | None = ROWS,
) -> torch.Tensor:
    """Scaled dot-product attention of all heads; equals ``attention.attend``.

    Args:
        query: (#batch, time1, units), head after head, with the position bias.
        key: (#batch, time2, units).
        value: (#batch, time2, value units).
        position_scores: scores of relative positions, or None.
        mask: (#batch, 1, time2) or (#batch, time1, time2), 0 on padding, or None.
        d_k: the ORIGINAL width of a head: the scale is 1 / sqrt(d_k).
        widths: query and value units of every head.
        rows: number of rows of scores to compute at a time; None: all.

    Returns:
        (#batch, time1, value units); not differentiable.
    """
    padding = None if mask is None or bool(mask.all()) else mask.eq(0)
    scale = 1.0 / math.sqrt(d_k)
    context = value.new_empty(query.size(0), query.size(1), value.size(2))
    first_query = first_value = 0
    for query_width, value_width in widths:
        units = slice(first_query, first_query + query_width)
        values = slice(first_value, first_value + value_width)
        first_query, first_value = units.stop, values.stop
        if value_width == 0:
            continue
        for block in _blocks(query.size(1), rows):
            scores = _scores(query, key, units, block, position_scores, scale)
            weights = _weights(scores, padding, block)
            context[:, block, values] = torch.bmm(weights, value[..., values])
    return context


def _blocks(time: int, rows: int | None) -> Iterator[slice]:
    rows = rows or max(time, 1)
    for start in range(0, time, rows):
        yield slice(start, min(start + rows, time))


def _scores(
    query: torch.Tensor,
    key: torch.Tensor,
    units: slice,
    rows: slice,
    position_scores: PositionScores | None,
    scale: float,
) -> torch.Tensor:
    """Scores of some rows of a head, (#batch, rows, time2)."""
    query, key = query[:, rows, units], key[..., units].transpose(1, 2)
    if units.start == units.stop:
        return query.new_zeros(query.size(0), query.size(1), key.size(2))
    if position_scores is None:
        return torch.bmm(query, key).mul_(scale)
    return torch.baddbmm(
        position_scores(units, rows), query, key, beta=scale, alpha=scale
    )


def _weights(
    scores: torch.Tensor, padding: torch.Tensor | None, rows: slice
) -> torch.Tensor:
    """Attention weights of scores, which are overwritten."""
    if padding is None:
        return torch.softmax(scores, dim=-1)
    if padding.size(1) > 1:
        padding = padding[:, rows]
    scores.masked_fill_(padding, torch.finfo(scores.dtype).min)
    return torch.softmax(scores, dim=-1).masked_fill_(padding, 0.0)


def scores_by_distance(
    query: torch.Tensor, positions: torch.Tensor, rows: slice
) -> torch.Tensor:
    """Position scores of some rows: ``rel_shift`` of ESPnet's "latest" positions.

    Element [i, j] belongs to the distance j - i, whose position is time - 1 + j - i.

    Args:
        query: queries of a head, (#batch, time, width).
        positions: projected positions of all distances, (1, 2 time - 1, width).
        rows: rows of the scores.

    Returns:
        (#batch, rows, time), a view of a smaller tensor.
    """
    time, count = query.size(1), rows.stop - rows.start
    positions = positions[:, time - rows.stop : 2 * time - 1 - rows.start]
    scores = torch.matmul(query[:, rows], positions.transpose(1, 2))
    width = scores.size(2)
    return scores.as_strided(
        (scores.size(0), count, time), (count * width, width - 1, 1), count - 1
    )
