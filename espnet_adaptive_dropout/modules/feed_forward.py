"""ESPnet's feed-forward module with a gate on its hidden layer.

The gate stands in the place of the dropout there, which acts while it does not sample.
"""

from __future__ import annotations

import torch

from espnet_adaptive_dropout import compat
from espnet_adaptive_dropout.modules.gate import AdaptiveDropout


class AdaptiveDropoutFeedForward(compat.PositionwiseFeedForward):
    """PositionwiseFeedForward whose hidden units pass a gate.

    Args:
        stock: the module whose parts are taken over.
    """

    dropout: AdaptiveDropout

    def __init__(self, stock: compat.PositionwiseFeedForward):
        compat.adopt(self, stock)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(#batch, time, size) -> (#batch, time, size)."""
        return self.dropout.into(self.w_2, self.activation(self.w_1(x)))


def gated_feed_forward(stock: torch.nn.Module) -> torch.nn.Module:
    """Return the gated form of a stock module.

    ESPnet's convolutional kinds stay: the gate is called in them as the dropout was.
    """
    if type(stock) is compat.PositionwiseFeedForward:
        return AdaptiveDropoutFeedForward(stock)
    return stock
