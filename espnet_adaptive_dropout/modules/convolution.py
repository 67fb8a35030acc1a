"""ESPnet's convolution module with gates, and at the widths that pruning left.

The layer norm before the module keeps all dimensions; mask and selection of inputs
come after it, so that only columns of the first pointwise convolution follow. The
mask of a channel comes last, before the second pointwise convolution: what a removed
channel would contribute is zero, and no constant remains.

Both compute on (#batch, time, channels), see ``time_major``.
"""

from __future__ import annotations

from typing import Any

import torch

from espnet_adaptive_dropout import compat
from espnet_adaptive_dropout.modules.cpu_inference import is_cpu_inference
from espnet_adaptive_dropout.modules.empty_layers import linear
from espnet_adaptive_dropout.modules.gate import AdaptiveDropout
from espnet_adaptive_dropout.modules.time_major import (
    DepthwiseConv,
    PointwiseConv,
    batch_norm,
)

_POINTWISE = ("pointwise_conv1", "pointwise_conv2")


class AdaptiveDropoutConvolution(compat.ConvolutionModule):
    """ConvolutionModule whose input vectors and channels pass gates.

    Args:
        stock: stock module, whose parts are taken over.
    """

    input_gate: AdaptiveDropout | None
    channel_gate: AdaptiveDropout | None
    depthwise_conv: torch.nn.Conv1d

    def __init__(self, stock: compat.ConvolutionModule):
        compat.adopt(self, stock)
        for name in _POINTWISE:
            setattr(self, name, PointwiseConv.of(getattr(self, name)))
        self.depthwise_conv = DepthwiseConv.of(self.depthwise_conv)
        self.input_gate = None
        self.channel_gate = None

    def forward(
        self, x: torch.Tensor, mask_pad: torch.Tensor | None = None
    ) -> torch.Tensor:
        """(#batch, time, channels) -> (#batch, time, channels)."""
        x = _apply_layer(self.input_gate, self.pointwise_conv1, x)
        x = torch.nn.functional.glu(x, dim=-1)
        x = self.depthwise_conv(compat.mask_padded_frames(x, mask_pad))
        x = self.activation(batch_norm(x, self.norm))
        return _apply_layer(self.channel_gate, self.pointwise_conv2, x)


def _apply_layer(
    gate: AdaptiveDropout | None, layer: torch.nn.Module, x: torch.Tensor
) -> torch.Tensor:
    return layer(x) if gate is None else gate.apply_layer(layer, x)


class CompactConvolution(compat.ConvolutionModule):
    """ConvolutionModule that reads only some inputs and has fewer channels.

    The pointwise convolutions are plain ``Linear`` modules, so that
    ``--quantize_asr_model`` reaches them; in checkpoints their weights have the
    stock shape (outputs, inputs, 1).

    Args:
        stock: stock module, whose parts are taken over.
        kept: the input dimensions that stay, ascending; may be empty.
        channels: number of channels; may be 0.
    """

    pointwise_conv1: torch.nn.Module
    depthwise_conv: torch.nn.Conv1d

    def __init__(
        self, stock: compat.ConvolutionModule, kept: torch.Tensor, channels: int
    ):
        compat.adopt(self, stock)
        size = self.pointwise_conv1.in_channels
        bias = self.pointwise_conv1.bias is not None
        self.reads_input = bool(channels and len(kept))
        self.reads_all = len(kept) == size
        self.pointwise_conv1 = linear(len(kept), 2 * channels, bias=bias)
        self.pointwise_conv2 = linear(channels, size, bias=bias)
        self.depthwise_conv = DepthwiseConv.of(self.depthwise_conv, channels)
        self.norm = torch.nn.BatchNorm1d(channels)
        # Averaging checkpoints sums integer tensors, so the indices live in the
        # config, not in the checkpoint.
        self.register_buffer("kept", kept, persistent=False)
        self._register_state_dict_hook(_to_stock_shapes)
        self._register_load_state_dict_pre_hook(_from_stock_shapes)

    def forward(
        self, x: torch.Tensor, mask_pad: torch.Tensor | None = None
    ) -> torch.Tensor:
        """(#batch, time, channels) -> (#batch, time, channels)."""
        if self.depthwise_conv.in_channels == 0:
            return self.pointwise_conv2(x[..., :0])  # the bias
        if not self.reads_input:
            # Not by the empty indices: ONNX takes all empty constants for one.
            x = x[..., :0]
        elif not self.reads_all:
            x = x.index_select(-1, self.kept)
        x = torch.nn.functional.glu(self.pointwise_conv1(x), dim=-1)
        x = compat.mask_padded_frames(x, mask_pad)
        if is_cpu_inference(self, x):
            x = self.depthwise_conv.normalised(x, self.norm)
        else:
            x = batch_norm(self.depthwise_conv(x), self.norm)
        return self.pointwise_conv2(self.activation(x))


def _to_stock_shapes(
    module: torch.nn.Module, state: dict[str, torch.Tensor], prefix: str, _: Any
) -> None:
    for name in _POINTWISE:
        key = f"{prefix}{name}.weight"
        if key in state:  # it is not in a quantised module
            state[key] = state[key].unsqueeze(-1)


def _from_stock_shapes(state: dict[str, torch.Tensor], prefix: str, *_: Any) -> None:
    for name in _POINTWISE:
        key = f"{prefix}{name}.weight"
        if key in state and state[key].dim() == 3:
            state[key] = state[key].squeeze(-1)


def gated_convolution(stock: compat.ConvolutionModule) -> AdaptiveDropoutConvolution:
    """Return the gated form of a stock convolution module; a gated one stays."""
    if isinstance(stock, AdaptiveDropoutConvolution):
        return stock
    return AdaptiveDropoutConvolution(stock)
