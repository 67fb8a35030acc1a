"""Self-attention whose heads have their own numbers of query and value units.

The weights are stored head after head without padding and each head is computed at
its own width. The scale stays 1 / sqrt(d_k) of the full-width model. A head without
query units attends evenly to all real frames; one without value units is void.
"""

from __future__ import annotations

from typing import List, Optional

import torch

from espnet_adaptive_dropout import compat
from espnet_adaptive_dropout.attention import attend
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
        self.linear_q = linear(size, sum(query_widths))
        self.linear_k = linear(size, sum(query_widths))
        self.linear_v = linear(size, sum(value_widths))
        self.linear_out = linear(sum(value_widths), size)
        self.dropout = stock.dropout
        if not isinstance(self.dropout, torch.nn.Dropout):
            self.dropout = torch.nn.Dropout(stock.dropout_rate)
        self.use_sdpa = getattr(stock, "use_sdpa", False)

    def _attend_by_head(self, query, key, value, mask, position_of_head):
        """Run all heads and the output layer.

        Args:
            query, key, value: (#batch, time, size).
            mask: (#batch, 1, time2), (#batch, time1, time2) or None.
            position_of_head: maps a head and its query vectors
                (#batch, 1, time1, n) to the biased query vectors and the
                relative-position scores.
        """
        queries = self.linear_q(query).split(self.query_widths, dim=-1)
        keys = self.linear_k(key).split(self.query_widths, dim=-1)
        values = self.linear_v(value).split(self.value_widths, dim=-1)
        contexts = []
        for head, width in enumerate(self.value_widths):
            if width == 0:
                continue
            q, position = position_of_head(head, queries[head].unsqueeze(1))
            context, _ = attend(
                q,
                keys[head].unsqueeze(1),
                values[head].unsqueeze(1),
                position,
                mask,
                self.d_k,
                self.dropout,
                self.use_sdpa,
            )
            contexts.append(context.squeeze(1))
        if not contexts:
            contexts = [values[0][:, : query.size(1)]]  # width 0: the bias remains
        return self.linear_out(torch.cat(contexts, dim=-1))

    def forward(self, query, key, value, mask, expand_kv=False):
        """As the stock module's forward."""
        return self._attend_by_head(query, key, value, mask, lambda _, q: (q, None))


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
        places = self.linear_pos(pos_emb).split(self.query_widths, dim=-1)
        bias_u = self.pos_bias_u.split(self.query_widths)
        bias_w = self.pos_bias_v.split(self.query_widths)

        def position_of_head(head, q):
            p = places[head].unsqueeze(1).transpose(-2, -1)
            scores = torch.matmul(q + bias_w[head], p)
            return q + bias_u[head], self.rel_shift(scores)

        return self._attend_by_head(query, key, value, mask, position_of_head)


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
