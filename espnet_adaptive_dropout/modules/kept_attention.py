"""Attention whose keys and values are projected once and kept, for a decoder.

In training it computes what ESPnet's attention or :class:`CompactAttention` computes.
In a search, :meth:`project` gives the keys and values of new tokens or of the source,
and :meth:`attend_to` reads those that were kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from espnet_adaptive_dropout import compat
from espnet_adaptive_dropout.modules.attention import attend
from espnet_adaptive_dropout.modules.compact_attention import CompactAttention
from espnet_adaptive_dropout.modules.padded_heads import HeadGrid, HeadsInOrder

# Keys and values, (#batch, head, time, width) each, of every group of heads that is
# computed in one product
HeadPairs = list[tuple[torch.Tensor, torch.Tensor]]

# The class after the mixin is an attention module.
_Attention: Any = torch.nn.Module if TYPE_CHECKING else object


class _Keeping(_Attention):
    """Common part: attention in two halves, before and after what is kept."""

    query_widths: list[int]
    value_widths: list[int]
    query_grids: torch.nn.ModuleList
    value_grids: torch.nn.ModuleList
    in_order: HeadsInOrder | None

    def project(self, x: torch.Tensor) -> torch.Tensor:
        """Return keys and values, (#batch, time, size) -> (#batch, time, units)."""
        return torch.cat([self.linear_k(x), self.linear_v(x)], dim=-1)

    def by_head(self, projected: torch.Tensor) -> HeadPairs:
        """Divide what :meth:`project` gives among the heads."""
        units = [sum(self.query_widths), sum(self.value_widths)]
        keys, values = projected.split(units, dim=-1)
        return [
            (self.k_norm(query_grid.spread(keys)), value_grid.spread(values))
            for query_grid, value_grid in zip(self.query_grids, self.value_grids)
        ]

    def attend_to(
        self, x: torch.Tensor, pairs: HeadPairs, mask: torch.Tensor | None
    ) -> torch.Tensor:
        """Attend from ``x`` to keys and values that were kept.

        Args:
            x: (#batch, time1, size).
            pairs: keys and values of :meth:`by_head`, time2 of them.
            mask: (#batch, 1, time2) or (#batch, time1, time2), 0 on padding, or None.

        Returns:
            (#batch, time1, size).
        """
        if self.in_order is None:  # no head has values
            return self.linear_out(self.linear_v(x))
        q = self.linear_q(x)
        contexts = []
        for grid, (key, value) in zip(self.query_grids, pairs):
            # PyTorch's fused attention reads the heads where they lie; matmul copies.
            fused = grid.width > 0 and not self.training
            query = self.q_norm(grid.spread(q))
            context, _ = attend(
                query, key, value, None, mask, self.d_k, self.dropout, fused
            )
            contexts.append(context)
        return self.linear_out(self.in_order(contexts))


class KeepingAttention(_Keeping, compat.MultiHeadedAttention):
    """ESPnet's attention at full width.

    Args:
        stock: ESPnet's module, whose parts are taken over.
    """

    def __init__(self, stock: compat.MultiHeadedAttention):
        compat.adopt(self, stock)
        self.query_widths = self.value_widths = [self.d_k] * self.h
        grid = HeadGrid(self.query_widths, range(self.h))
        self.query_grids = self.value_grids = torch.nn.ModuleList([grid])
        self.in_order = HeadsInOrder([grid], self.h * self.d_k)
        for name in ("q_norm", "k_norm"):  # older releases have none
            if not hasattr(self, name):
                setattr(self, name, torch.nn.Identity())


class KeepingCompactAttention(_Keeping, CompactAttention):
    """Attention at per-head widths."""

    def __init__(
        self,
        stock: compat.MultiHeadedAttention,
        query_widths: list[int],
        value_widths: list[int],
    ):
        super().__init__(stock, query_widths, value_widths)
        self.q_norm = self.k_norm = torch.nn.Identity()


def keeping_attention(
    stock: compat.MultiHeadedAttention,
    query_widths: list[int] | None = None,
    value_widths: list[int] | None = None,
) -> _Keeping:
    """Return ``stock`` as an attention that can keep its keys and values.

    Args:
        stock: ESPnet's module; at full width its parts are taken over.
        query_widths: query units of every head; None: all.
        value_widths: value units of every head; None: all.

    Raises:
        ValueError: ``qk_norm`` with fewer units than all, which is not exact.
    """
    full = [stock.d_k] * stock.h
    query_widths = full if query_widths is None else list(query_widths)
    value_widths = full if value_widths is None else list(value_widths)
    if query_widths == value_widths == full:
        return KeepingAttention(stock)
    if isinstance(getattr(stock, "q_norm", None), torch.nn.LayerNorm):
        raise ValueError("a decoder with widths cannot have qk_norm: true")
    return KeepingCompactAttention(stock, query_widths, value_widths)
