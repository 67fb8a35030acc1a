"""Self-attention whose heads have their own numbers of query and value units.

The weights are stored head after head without padding. The scale stays 1 / sqrt(d_k)
of the full-width model. A head without query units attends evenly to all real frames;
one without value units is void.

Heads of like width are computed in one product, on vectors filled up with zeros to
the width of the widest: exact, and faster than head by head (see ``head_grid``).
"""

from __future__ import annotations

from typing import List, Optional

import torch

from espnet_adaptive_dropout import compat
from espnet_adaptive_dropout.attention import attend
from espnet_adaptive_dropout.head_grid import HeadGrid, HeadsInOrder, head_groups
from espnet_adaptive_dropout.layers import linear


class CompactAttention(torch.nn.Module):
    """``selfattn`` (absolute positions) at per-head widths.

    Args:
        stock: full-width module whose options are taken over.
        query_widths: query units of every head.
        value_widths: value units of every head.
    """

    def __init__(
        self,
        stock: compat.MultiHeadedAttention,
        query_widths: List[int],
        value_widths: List[int],
    ):
        super().__init__()
        size = stock.linear_out.out_features
        self.d_k = stock.d_k
        self.query_widths = list(query_widths)
        self.value_widths = list(value_widths)
        groups = head_groups(query_widths, value_widths)
        self.query_grids = torch.nn.ModuleList(
            HeadGrid(query_widths, group) for group in groups
        )
        self.value_grids = torch.nn.ModuleList(
            HeadGrid(value_widths, group) for group in groups
        )
        self.in_order = None
        if groups:
            self.in_order = HeadsInOrder(list(self.value_grids), sum(value_widths))
        self.linear_q = linear(size, sum(query_widths))
        self.linear_k = linear(size, sum(query_widths))
        self.linear_v = linear(size, sum(value_widths))
        self.linear_out = linear(sum(value_widths), size)
        self.dropout = stock.dropout
        if not isinstance(self.dropout, torch.nn.Dropout):
            self.dropout = torch.nn.Dropout(stock.dropout_rate)
        self.use_sdpa = getattr(stock, "use_sdpa", False)

    def _attend(self, query, key, value, mask, scores_of_grid):
        """Run all heads and the output layer.

        Args:
            query, key, value: (#batch, time, size).
            mask: (#batch, 1, time2), (#batch, time1, time2) or None.
            scores_of_grid: maps a query grid and the query vectors
                (#batch, time1, units) to the biased vectors of its heads
                (#batch, head, time1, width) and their relative-position scores.
        """
        if self.in_order is None:
            return self.linear_out(self.linear_v(query))  # of no units: the bias
        q, k, v = self.linear_q(query), self.linear_k(key), self.linear_v(value)
        contexts = []
        for query_grid, value_grid in zip(self.query_grids, self.value_grids):
            q_u, position = scores_of_grid(query_grid, q)
            context, _ = attend(
                q_u,
                query_grid.spread(k),
                value_grid.spread(v),
                position,
                mask,
                self.d_k,
                self.dropout,
                self.use_sdpa,
            )
            contexts.append(context)
        return self.linear_out(self.in_order(contexts))

    def forward(self, query, key, value, mask, expand_kv=False):
        """As the stock module's forward."""
        return self._attend(
            query, key, value, mask, lambda grid, q: (grid.spread(q), None)
        )


class _CompactRelPosition(CompactAttention):
    def __init__(self, stock, query_widths, value_widths):
        super().__init__(stock, query_widths, value_widths)
        size = stock.linear_out.out_features
        self.zero_triu = stock.zero_triu
        self.linear_pos = linear(size, sum(query_widths), bias=False)
        self.pos_bias_u = torch.nn.Parameter(torch.zeros(sum(query_widths)))
        self.pos_bias_v = torch.nn.Parameter(torch.zeros(sum(query_widths)))

    def forward(self, query, key, value, pos_emb, mask):
        """As the stock module's forward."""
        places = self.linear_pos(pos_emb)

        def scores_of_grid(grid, q):
            q_w = grid.spread(q + self.pos_bias_v)
            p = grid.spread(places).transpose(-2, -1)
            scores = self.rel_shift(torch.matmul(q_w, p))
            return grid.spread(q + self.pos_bias_u), scores

        return self._attend(query, key, value, mask, scores_of_grid)


class CompactRelPositionAttention(_CompactRelPosition):
    """``rel_selfattn`` at per-head widths."""

    rel_shift = compat.RelPositionMultiHeadedAttention.rel_shift


class CompactLegacyRelPositionAttention(_CompactRelPosition):
    """``legacy_rel_selfattn`` at per-head widths."""

    rel_shift = compat.LegacyRelPositionMultiHeadedAttention.rel_shift


_COMPACT = {
    compat.MultiHeadedAttention: CompactAttention,
    compat.RelPositionMultiHeadedAttention: CompactRelPositionAttention,
    compat.LegacyRelPositionMultiHeadedAttention: CompactLegacyRelPositionAttention,
}


def compact_attention(
    stock: torch.nn.Module,
    query_widths: List[int],
    value_widths: List[int],
) -> CompactAttention:
    """Return the narrow form of a stock attention module, newly initialised.

    Raises:
        ValueError: ``qk_norm`` with narrowed query units, which is not exact.
    """
    normalised: Optional[torch.nn.Module] = getattr(stock, "q_norm", None)
    if isinstance(normalised, torch.nn.LayerNorm):
        raise ValueError("a compact Conformer cannot have qk_norm: true")
    return _COMPACT[type(stock)](stock, query_widths, value_widths)
