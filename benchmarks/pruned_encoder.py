"""The encoder that Torch-Pruning's choice of units leaves, as an ESPnet class.

Torch-Pruning narrows the inside of the convolution module (both halves of the gated
linear unit, depthwise convolution, batch norm), which the compact encoder does not.
"""

from __future__ import annotations

from typing import Any, Sequence

import torch

from espnet_adaptive_dropout.compact import CompactConformerEncoder

NAME = "torch_pruned_conformer"


class TorchPrunedConformerEncoder(CompactConformerEncoder):
    """A compact Conformer with its own number of inner channels in every block.

    Args:
        input_size: dimension of the features.
        conv_channels: channels of the depthwise convolution of every block.
        **options: of the compact encoder, ``widths`` among them.
    """

    def __init__(self, input_size: int, conv_channels: Sequence[int], **options: Any):
        super().__init__(input_size, **options)
        for layer, channels in zip(self.encoders, conv_channels):
            _narrow(layer.conv_module, channels)


def _narrow(module: torch.nn.Module, channels: int) -> None:
    size = module.pointwise_conv1.in_channels
    depthwise = module.depthwise_conv
    bias = depthwise.bias is not None
    conv = torch.nn.Conv1d
    module.pointwise_conv1 = conv(size, 2 * channels, 1, bias=bias)
    module.depthwise_conv = conv(
        channels,
        channels,
        depthwise.kernel_size,
        padding=depthwise.padding,
        groups=channels,
        bias=bias,
    )
    module.norm = torch.nn.BatchNorm1d(channels)
    module.pointwise_conv2 = conv(channels, size, 1, bias=bias)


def register() -> None:
    """Make ``encoder: torch_pruned_conformer`` known to ESPnet's ASR task."""
    from espnet2.tasks.asr import encoder_choices

    encoder_choices.classes[NAME] = TorchPrunedConformerEncoder
