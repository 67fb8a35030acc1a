"""Convolutions over time of vectors that stay (#batch, time, channels).

ESPnet's convolution module transposes its input and uses Conv1d. The same weights
applied without transposing are faster, the depthwise ones several times on a CPU.
"""

from __future__ import annotations

from typing import TypeVar

import torch

from espnet_adaptive_dropout.compat import adopt

Conv = TypeVar("Conv", bound=torch.nn.Conv1d)


class PointwiseConv(torch.nn.Conv1d):
    """A Conv1d of kernel size 1 on (#batch, time, channels)."""

    @classmethod
    def of(cls, stock: torch.nn.Conv1d) -> PointwiseConv:
        """Take over the weights of ``stock``, which must not be used afterwards."""
        return _taken_over(cls, stock)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(#batch, time, inputs) -> (#batch, time, outputs)."""
        return torch.nn.functional.linear(x, self.weight.squeeze(-1), self.bias)


class DepthwiseConv(torch.nn.Conv1d):
    """A depthwise Conv1d of "same" length on (#batch, time, channels)."""

    @classmethod
    def of(cls, stock: torch.nn.Conv1d, channels: int | None = None) -> DepthwiseConv:
        """Take over the weights of ``stock``, which must not be used afterwards.

        Args:
            stock: a depthwise convolution of "same" length.
            channels: number of channels, 0 included; another number than that of
                ``stock`` gives a newly initialised convolution.
        """
        conv = _taken_over(cls, stock)
        if channels is None or channels == conv.out_channels:
            return conv
        new = cls(
            max(channels, 1),
            max(channels, 1),
            conv.kernel_size,
            padding=conv.padding,
            groups=max(channels, 1),
            bias=conv.bias is not None,
        )
        if channels == 0:
            new.in_channels = new.out_channels = 0
            for name, parameter in list(new.named_parameters()):
                empty = torch.nn.Parameter(parameter.detach()[:0], requires_grad=False)
                setattr(new, name, empty)
        return new

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(#batch, time, channels) -> (#batch, time, channels)."""
        return self.convolve(x, self.weight, self.bias)

    def convolve(
        self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
    ) -> torch.Tensor:
        """Forward with other weights (channels, 1, kernel) and bias (channels,)."""
        options = dict(groups=self.groups)
        x = x.transpose(1, 2)
        if x.device.type == "cpu":
            # Channels last: PyTorch takes it from the strides, and copies nothing.
            padding = (0, *self.padding)
            x, weight = x.unsqueeze(2), weight.unsqueeze(2)
            x = torch.nn.functional.conv2d(x, weight, bias, padding=padding, **options)
            x = x.squeeze(2)
        else:
            x = torch.nn.functional.conv1d(
                x, weight, bias, padding=self.padding, **options
            )
        return x.transpose(1, 2)

    def normalised(self, x: torch.Tensor, norm: torch.nn.BatchNorm1d) -> torch.Tensor:
        """Forward and ``norm`` in evaluation mode, as one convolution."""
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        bias = (
            -norm.running_mean if self.bias is None else self.bias - norm.running_mean
        )
        bias = norm.bias + bias * scale
        return self.convolve(x, self.weight * scale[:, None, None], bias)


def _taken_over(cls: type[Conv], stock: torch.nn.Conv1d) -> Conv:
    conv = object.__new__(cls)
    adopt(conv, stock)
    return conv


def batch_norm(x: torch.Tensor, norm: torch.nn.Module) -> torch.Tensor:
    """Batch normalisation of (#batch, time, channels) over batch and time."""
    return norm(x.flatten(0, 1)).view_as(x)
