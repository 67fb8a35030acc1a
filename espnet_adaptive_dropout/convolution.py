"""ESPnet's convolution module with gates, and at the widths that pruning left.

The layer norm before the module keeps all dimensions; mask and selection of inputs
come after it, so that only columns of the first pointwise convolution follow. The
mask of a channel comes last, before the second pointwise convolution: what a removed
channel would contribute is zero, and no constant of it stays behind.
"""

from __future__ import annotations

from typing import Optional

import torch

from espnet_adaptive_dropout import compat
from espnet_adaptive_dropout.gate import AdaptiveDropout
from espnet_adaptive_dropout.layers import conv1d, depthwise_conv1d


class AdaptiveDropoutConvolution(compat.ConvolutionModule):
    """ConvolutionModule whose input vectors and channels pass gates.

    Args:
        stock: the module whose parts are taken over.
    """

    input_gate: Optional[AdaptiveDropout]
    channel_gate: Optional[AdaptiveDropout]

    def __init__(self, stock: compat.ConvolutionModule):
        compat.adopt(self, stock)
        self.input_gate = None
        self.channel_gate = None

    def forward(self, x, mask_pad=None):
        """As the stock module's forward, (#batch, time, channels)."""
        if self.input_gate is not None:
            x = self.input_gate(x)
        x = self.pointwise_conv1(x.transpose(1, 2))
        x = torch.nn.functional.glu(x, dim=1)
        x = compat.mask_padded_frames(x, mask_pad)
        x = self.activation(self.norm(self.depthwise_conv(x)))
        if self.channel_gate is not None:
            x = self.channel_gate(x.transpose(1, 2)).transpose(1, 2)
        return self.pointwise_conv2(x).transpose(1, 2)


class CompactConvolution(compat.ConvolutionModule):
    """ConvolutionModule that reads only some inputs and has fewer channels.

    Args:
        stock: the module whose parts are taken over.
        kept: the input dimensions that stay, ascending; may be empty.
        channels: number of channels; may be 0.
    """

    def __init__(
        self, stock: compat.ConvolutionModule, kept: torch.Tensor, channels: int
    ):
        compat.adopt(self, stock)
        size = self.pointwise_conv1.in_channels
        bias = self.pointwise_conv1.bias is not None
        self.channels = channels
        self.reads_all = len(kept) == size
        self.pointwise_conv1 = conv1d(len(kept), 2 * channels, 1, bias=bias)
        if channels != self.depthwise_conv.out_channels:
            dense = self.depthwise_conv
            self.depthwise_conv = depthwise_conv1d(
                channels, dense.kernel_size[0], bias=dense.bias is not None
            )
            self.norm = torch.nn.BatchNorm1d(channels)
            self.pointwise_conv2 = conv1d(channels, size, 1, bias=bias)
        # Averaging checkpoints sums integer tensors, so the indices live in the
        # config, not in the checkpoint.
        self.register_buffer("kept", kept, persistent=False)

    def forward(self, x, mask_pad=None):
        """As the stock module's forward, (#batch, time, channels)."""
        if self.channels == 0:
            nothing = x.new_zeros(x.size(0), 0, x.size(1))
            return self.pointwise_conv2(nothing).transpose(1, 2)
        if not self.reads_all:
            x = x.index_select(-1, self.kept)
        if compat.CONVOLUTION_TAKES_MASK:
            return super().forward(x, mask_pad)
        return super().forward(x)


def gated_convolution(stock: compat.ConvolutionModule) -> AdaptiveDropoutConvolution:
    """Return the gated form of a stock convolution module; a gated one stays."""
    if isinstance(stock, AdaptiveDropoutConvolution):
        return stock
    return AdaptiveDropoutConvolution(stock)
