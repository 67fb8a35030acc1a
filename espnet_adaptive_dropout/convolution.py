"""ESPnet's convolution module with a gate on its input, and with a narrow input.

The layer norm before the module keeps all dimensions; mask and selection come after
it. Only the columns of the first pointwise convolution follow a removed input.
"""

from __future__ import annotations

import torch

from espnet_adaptive_dropout import compat
from espnet_adaptive_dropout.gate import AdaptiveDropout
from espnet_adaptive_dropout.layers import conv1d


def _stock_forward(module, x, mask_pad):
    if compat.CONVOLUTION_TAKES_MASK:
        return compat.ConvolutionModule.forward(module, x, mask_pad)
    return compat.ConvolutionModule.forward(module, x)


class AdaptiveDropoutConvolution(compat.ConvolutionModule):
    """ConvolutionModule whose input vectors pass a gate.

    Args:
        stock: the module whose parts are taken over.
    """

    input_gate: AdaptiveDropout

    def __init__(self, stock: compat.ConvolutionModule):
        compat.adopt(self, stock)

    def forward(self, x, mask_pad=None):
        """As the stock module's forward, (#batch, time, channels)."""
        return _stock_forward(self, self.input_gate(x), mask_pad)


class CompactConvolution(compat.ConvolutionModule):
    """ConvolutionModule that reads only some of its input dimensions.

    Args:
        stock: the module whose parts are taken over.
        kept: the input dimensions that stay, ascending; may be empty.
    """

    def __init__(self, stock: compat.ConvolutionModule, kept: torch.Tensor):
        compat.adopt(self, stock)
        dense = self.pointwise_conv1
        self.pointwise_conv1 = conv1d(
            len(kept), dense.out_channels, 1, bias=dense.bias is not None
        )
        # Averaging checkpoints sums integer tensors, so the indices live in the
        # config, not in the checkpoint.
        self.register_buffer("kept", kept, persistent=False)

    def forward(self, x, mask_pad=None):
        """As the stock module's forward, (#batch, time, channels)."""
        return _stock_forward(self, x.index_select(-1, self.kept), mask_pad)


def gated_convolution(stock: compat.ConvolutionModule) -> AdaptiveDropoutConvolution:
    """Return the gated form of a stock convolution module."""
    return AdaptiveDropoutConvolution(stock)
