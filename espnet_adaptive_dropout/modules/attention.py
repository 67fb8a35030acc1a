"""ESPnet's self-attention with gates on the query and value vectors.

A = softmax(((m_q . (q + u)) k^T + relshift((m_q . (q + w)) p^T)) / sqrt(d_k))
y = W_o [A_1 (m_v . v_1) ... A_h (m_v . v_h)] + b_o

The query mask m_q is applied after the position biases u and w are added: masking
q alone would leave the terms u k^T and w p^T of a removed unit behind. The value mask
m_v of an utterance is applied after the attention, which is the same: A (m_v . v) =
m_v . (A v).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from espnet_adaptive_dropout import compat
from espnet_adaptive_dropout.modules.gate import AdaptiveDropout


def attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    position: torch.Tensor | None,
    mask: torch.Tensor | None,
    d_k: int,
    dropout: torch.nn.Module,
    fused: bool = False,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Scaled dot-product attention as ESPnet computes it, for any head widths.

    Args:
        query: (#batch, head, time1, n); n may be 0.
        key: (#batch, head, time2, n).
        value: (#batch, head, time2, m).
        position: relative-position scores (#batch, head, time1, time2) or None.
        mask: (#batch, 1, time2) or (#batch, time1, time2), 0 on padding, or None.
        d_k: the ORIGINAL width of a head: the scale is 1 / sqrt(d_k).
        dropout: applied to the attention weights.
        fused: use PyTorch's scaled_dot_product_attention.

    Returns:
        Context (#batch, head, time1, m) and attention weights
        (#batch, head, time1, time2); no weights if ``fused``.
    """
    padding = None if mask is None else mask.unsqueeze(1).eq(0)
    if fused:
        rate = dropout.p if dropout.training else 0.0
        return _attend_fused(query, key, value, position, padding, d_k, rate), None
    scores = torch.matmul(query, key.transpose(-2, -1))
    if position is not None:
        scores = scores + position
    scores = scores / math.sqrt(d_k)
    if padding is None:
        weights = torch.softmax(scores, dim=-1)
    else:
        scores = scores.masked_fill(padding, torch.finfo(scores.dtype).min)
        weights = torch.softmax(scores, dim=-1).masked_fill(padding, 0.0)
    return torch.matmul(dropout(weights), value), weights


def _attend_fused(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    position: torch.Tensor | None,
    padding: torch.Tensor | None,
    d_k: int,
    rate: float,
) -> torch.Tensor:
    """The context, by PyTorch's scaled_dot_product_attention."""
    bias = None if padding is None else ~padding
    if position is not None:
        bias = position / math.sqrt(d_k)
        if padding is not None:
            bias = bias.masked_fill(padding, torch.finfo(bias.dtype).min)
    return torch.nn.functional.scaled_dot_product_attention(
        query, key, value, bias, dropout_p=rate, scale=1.0 / math.sqrt(d_k)
    )


# The class after the mixin is an attention module.
_Attention: Any = torch.nn.Module if TYPE_CHECKING else object


def forget_weights(model: torch.nn.Module) -> None:
    """Let attention modules not keep the attention weights, which ESPnet plots.

    For a long utterance those of all blocks take as much memory as the model, and with
    gradients what they were computed from is kept too.

    Args:
        model: model that is not plotted.
    """

    def forget(module: Any, args: Any, output: Any) -> None:
        module.attn = None

    for module in model.modules():
        if hasattr(module, "attn"):
            module.register_forward_hook(forget)


class _Gated(_Attention):
    """Common part of the gated attentions: masks by head, and the output layer."""

    query_gate: AdaptiveDropout | None
    value_gate: AdaptiveDropout | None
    dropout: torch.nn.Module

    def __init__(self, stock: compat.MultiHeadedAttention):
        compat.adopt(self, stock)
        # Flash attention cannot be gated by unit; ESPnet falls back the same way.
        self.use_flash_attn = False
        if not isinstance(self.dropout, torch.nn.Dropout):
            self.dropout = torch.nn.Dropout(stock.dropout_rate)
        self.use_sdpa = getattr(stock, "use_sdpa", False)
        self.query_gate = None
        self.value_gate = None

    def _gate(
        self, gate: AdaptiveDropout | None, *vectors: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        """Multiply all ``vectors`` (#batch, head, time, d_k) by one sample."""
        if gate is None or gate.is_open:
            return vectors
        batch, heads, time, d_k = vectors[0].shape
        mask = gate.mask((batch, time, heads * d_k), vectors[0].dtype)
        mask = mask.view(*mask.shape[:2], heads, d_k).transpose(1, 2)
        return tuple(vector * mask for vector in vectors)

    def _attend(
        self,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        position: torch.Tensor | None,
        mask: torch.Tensor | None,
    ) -> torch.Tensor:
        """Attention, value gate and output layer.

        Args:
            q: masked queries (#batch, head, time1, d_k).
            k: keys (#batch, head, time2, d_k).
            v: values (#batch, head, time2, d_k).
            position: (#batch, head, time1, time2) or None.
            mask: mask of :func:`attend`.

        Returns:
            (#batch, time1, size).
        """
        context, self.attn = attend(
            q, k, v, position, mask, self.d_k, self.dropout, self.use_sdpa
        )
        context = context.transpose(1, 2).flatten(2)
        if self.value_gate is None:
            return self.linear_out(context)
        return self.value_gate.apply_layer(self.linear_out, context)


class AdaptiveDropoutAttention(_Gated, compat.MultiHeadedAttention):
    """``selfattn`` (absolute positions) with gates.

    Args:
        stock: stock module, whose parts are taken over.
    """

    def forward(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        mask: torch.Tensor | None,
        expand_kv: bool = False,
    ) -> torch.Tensor:
        """Forward pass with the stock module's arguments."""
        q, k, v = self.forward_qkv(query, key, value, expand_kv)
        (q,) = self._gate(self.query_gate, q)
        return self._attend(q, k, v, None, mask)


class _GatedRelPosition(_Gated):
    def forward(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        pos_emb: torch.Tensor,
        mask: torch.Tensor | None,
    ) -> torch.Tensor:
        """Forward pass with the stock module's arguments."""
        q, k, v = self.forward_qkv(query, key, value)
        p = self.linear_pos(pos_emb).view(pos_emb.size(0), -1, self.h, self.d_k)
        q_u, q_w = self._gate(
            self.query_gate,
            q + self.pos_bias_u.unsqueeze(1),
            q + self.pos_bias_v.unsqueeze(1),
        )
        position = self.rel_shift(torch.matmul(q_w, p.permute(0, 2, 3, 1)))
        return self._attend(q_u, k, v, position, mask)


class AdaptiveDropoutRelPositionAttention(
    _GatedRelPosition, compat.RelPositionMultiHeadedAttention
):
    """``rel_selfattn`` with gates."""


class AdaptiveDropoutLegacyRelPositionAttention(
    _GatedRelPosition, compat.LegacyRelPositionMultiHeadedAttention
):
    """``legacy_rel_selfattn`` with gates."""


_GATED = {
    compat.MultiHeadedAttention: AdaptiveDropoutAttention,
    compat.RelPositionMultiHeadedAttention: AdaptiveDropoutRelPositionAttention,
    compat.LegacyRelPositionMultiHeadedAttention: (
        AdaptiveDropoutLegacyRelPositionAttention
    ),
}


def gated_attention(stock: torch.nn.Module) -> torch.nn.Module:
    """Return the gated form of a stock attention module; a gated one stays."""
    return stock if isinstance(stock, _Gated) else _GATED[type(stock)](stock)
