"""Self-attention whose heads have their own numbers of query and value units.

The weights are stored head after head without padding. The scale stays 1 / sqrt(d_k)
of the full-width model. A head without query units attends evenly to all real frames;
one without value units contributes nothing.

Heads of similar width are computed in one product, padded with zeros to the width of
the widest (``padded_heads``), or one after the other (``attention_by_head``), which is
faster in evaluation on a CPU. Both are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Callable

import torch

from espnet_adaptive_dropout import compat
from espnet_adaptive_dropout.modules.attention import attend
from espnet_adaptive_dropout.modules.attention_by_head import (
    ROWS,
    PositionScores,
    attend_by_head,
    scores_by_distance,
)
from espnet_adaptive_dropout.modules.cpu_inference import is_cpu_inference
from espnet_adaptive_dropout.modules.empty_layers import linear
from espnet_adaptive_dropout.modules.padded_heads import (
    HeadGrid,
    HeadsInOrder,
    head_groups,
)


class CompactAttention(torch.nn.Module):
    """``selfattn`` (absolute positions) at per-head widths.

    Args:
        stock: full-width module, whose options are taken over.
        query_widths: query units of every head.
        value_widths: value units of every head.
    """

    def __init__(
        self, stock: torch.nn.Module, query_widths: list[int], value_widths: list[int]
    ):
        super().__init__()
        size = stock.linear_out.out_features
        self.d_k = stock.d_k
        self.query_widths = list(query_widths)
        self.value_widths = list(value_widths)
        self.rows: int | None = ROWS
        self.set_groups(head_groups(query_widths, value_widths))
        self.linear_q = linear(size, sum(query_widths))
        self.linear_k = linear(size, sum(query_widths))
        self.linear_v = linear(size, sum(value_widths))
        self.linear_out = linear(sum(value_widths), size)
        self.dropout = stock.dropout
        if not isinstance(self.dropout, torch.nn.Dropout):
            self.dropout = torch.nn.Dropout(stock.dropout_rate)
        self.use_sdpa = getattr(stock, "use_sdpa", False)

    def set_groups(self, groups: Sequence[Sequence[int]]) -> None:
        """Set the heads to be computed in one product, except on a CPU in evaluation.

        Args:
            groups: indices of heads; every head with values is in one group.
        """
        self.query_grids, self.value_grids = (
            torch.nn.ModuleList(HeadGrid(widths, group) for group in groups)
            for widths in (self.query_widths, self.value_widths)
        )
        self.in_order: HeadsInOrder | None = None
        if groups:
            units = sum(self.value_widths)
            self.in_order = HeadsInOrder(list(self.value_grids), units)

    def _context(
        self,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        mask: torch.Tensor | None,
        p: torch.Tensor | None,
    ) -> torch.Tensor:
        """Run all heads.

        Args:
            q: query vectors (#batch, time1, units), head after head.
            k: keys (#batch, time2, units).
            v: values (#batch, time2, value units).
            mask: (#batch, 1, time2), (#batch, time1, time2) or None.
            p: projected positions (1, positions, units), or None.

        Returns:
            (#batch, time1, value units).
        """
        q_u = self._with_bias(q)
        if is_cpu_inference(self, v):
            scores = self._position_scores(q, p)
            widths = list(zip(self.query_widths, self.value_widths))
            return attend_by_head(q_u, k, v, scores, mask, self.d_k, widths, self.rows)
        contexts = []
        for query_grid, value_grid in zip(self.query_grids, self.value_grids):
            context, _ = attend(
                query_grid.spread(q_u),
                query_grid.spread(k),
                value_grid.spread(v),
                self._grid_position_scores(query_grid, q, p),
                mask,
                self.d_k,
                self.dropout,
                self.use_sdpa,
            )
            contexts.append(context)
        assert self.in_order is not None  # see _attend
        return self.in_order(contexts)

    def _with_bias(self, q: torch.Tensor) -> torch.Tensor:
        """Query vectors with the bias of their product with the keys."""
        return q

    def _position_scores(
        self, q: torch.Tensor, p: torch.Tensor | None
    ) -> PositionScores | None:
        """Scores of relative positions, head by head."""
        return None

    def _grid_position_scores(
        self, grid: HeadGrid, q: torch.Tensor, p: torch.Tensor | None
    ) -> torch.Tensor | None:
        """Scores of relative positions of a grid, (#batch, head, time1, time2)."""
        return None

    def forward(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        mask: torch.Tensor | None,
        expand_kv: bool = False,
    ) -> torch.Tensor:
        """Forward pass with the stock module's arguments."""
        return self._attend(query, key, value, mask)

    def _attend(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        mask: torch.Tensor | None,
        pos_emb: torch.Tensor | None = None,
    ) -> torch.Tensor:
        if self.in_order is None:  # no head has values
            return self.linear_out(self.linear_v(query))  # the bias
        v = self.linear_v(value)
        q, k = self.linear_q(query), self.linear_k(key)
        p = None if pos_emb is None else self.linear_pos(pos_emb)
        return self.linear_out(self._context(q, k, v, mask, p))


class _CompactRelPosition(CompactAttention):
    # Whether positions are distances, and not ESPnet's legacy order
    by_distance: bool
    rel_shift: Callable[[torch.Tensor], torch.Tensor]

    def __init__(
        self, stock: torch.nn.Module, query_widths: list[int], value_widths: list[int]
    ):
        super().__init__(stock, query_widths, value_widths)
        size = stock.linear_out.out_features
        self.zero_triu = stock.zero_triu
        self.shifts_by_view = self.by_distance and not stock.zero_triu
        if not self.shifts_by_view:
            self.rows = None  # rel_shift takes all rows
        self.linear_pos = linear(size, sum(query_widths), bias=False)
        # At full width the shape of the stock module, for its checkpoints to fit.
        is_full = sum(query_widths) == sum(value_widths) == size
        shape = stock.pos_bias_u.shape if is_full else (sum(query_widths),)
        self.pos_bias_u = torch.nn.Parameter(torch.zeros(shape))
        self.pos_bias_v = torch.nn.Parameter(torch.zeros(shape))

    def forward(  # type: ignore[override]  # as in ESPnet
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        pos_emb: torch.Tensor,
        mask: torch.Tensor | None,
    ) -> torch.Tensor:
        """Forward pass with the stock module's arguments."""
        return self._attend(query, key, value, mask, pos_emb)

    def _with_bias(self, q: torch.Tensor) -> torch.Tensor:
        return q + self.pos_bias_u.flatten()

    def _position_scores(self, q: torch.Tensor, p: torch.Tensor) -> PositionScores:
        q = q + self.pos_bias_v.flatten()

        def of_head(units: slice, rows: slice) -> torch.Tensor:
            head, head_p = q[..., units], p[..., units]
            if self.shifts_by_view:
                return scores_by_distance(head, head_p, rows)
            scores = torch.matmul(head, head_p.transpose(1, 2))
            return self.rel_shift(scores.unsqueeze(1)).squeeze(1)[:, rows]

        return of_head

    def _grid_position_scores(
        self, grid: HeadGrid, q: torch.Tensor, p: torch.Tensor
    ) -> torch.Tensor:
        q = grid.spread(q + self.pos_bias_v.flatten())
        p = grid.spread(p).transpose(-2, -1)
        return self.rel_shift(torch.matmul(q, p))


class CompactRelPositionAttention(_CompactRelPosition):
    """``rel_selfattn`` at per-head widths."""

    by_distance = True
    rel_shift = compat.RelPositionMultiHeadedAttention.rel_shift


class CompactLegacyRelPositionAttention(_CompactRelPosition):
    """``legacy_rel_selfattn`` at per-head widths."""

    by_distance = False
    rel_shift = compat.LegacyRelPositionMultiHeadedAttention.rel_shift


_COMPACT = {
    compat.MultiHeadedAttention: CompactAttention,
    compat.RelPositionMultiHeadedAttention: CompactRelPositionAttention,
    compat.LegacyRelPositionMultiHeadedAttention: CompactLegacyRelPositionAttention,
}


def compact_attention(
    stock: torch.nn.Module, query_widths: list[int], value_widths: list[int]
) -> torch.nn.Module:
    """Return the narrow form of a stock attention module, newly initialised.

    At full width, absolute positions (which may use flash attention) and
    normalised queries stay with the stock module.

    Raises:
        ValueError: ``qk_norm`` with narrowed query units, which is not exact.
    """
    full = [stock.d_k] * stock.h
    is_full = query_widths == full and value_widths == full
    normalises = isinstance(getattr(stock, "q_norm", None), torch.nn.LayerNorm)
    if is_full and (normalises or type(stock) is compat.MultiHeadedAttention):
        return stock
    if normalises:
        raise ValueError("a compact Conformer cannot have qk_norm: true")
    return _COMPACT[type(stock)](stock, query_widths, value_widths)
