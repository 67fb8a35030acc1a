"""ESPnet's feed-forward module with a gate on its hidden layer.

The gate replaces the dropout there, which acts while the gate does not sample.
"""

from __future__ import annotations

import torch

from espnet_adaptive_dropout import compat
from espnet_adaptive_dropout.modules.gate import AdaptiveDropout


class AdaptiveDropoutFeedForward(compat.PositionwiseFeedForward):
    """PositionwiseFeedForward whose hidden units pass a gate.

    Args:
        stock: stock module, whose parts are taken over.
    """

    dropout: AdaptiveDropout

    def __init__(self, stock: compat.PositionwiseFeedForward):
        compat.adopt(self, stock)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(#batch, time, size) -> (#batch, time, size)."""
        return self.dropout.apply_layer(self.w_2, self.activation(self.w_1(x)))


def gated_feed_forward(stock: torch.nn.Module) -> torch.nn.Module:
    """Return the gated form of a stock module.

    ESPnet's convolutional kinds stay: the gate is called in them as the dropout was.
    """
    if type(stock) is compat.PositionwiseFeedForward:
        return AdaptiveDropoutFeedForward(stock)
    return stock
