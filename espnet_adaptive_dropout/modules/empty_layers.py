"""Layers of any width, 0 included."""

from __future__ import annotations

from typing import Any

import torch

from espnet_adaptive_dropout.compat import adopt


class EmptyLinear(torch.nn.Linear):
    """A Linear without inputs or outputs: its bias at every position.

    Dynamic quantisation turns a plain Linear without inputs into one that gives NaN;
    it leaves subclasses alone.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., inputs) -> (..., outputs)."""
        if self.bias is None or not self.out_features:
            return x.new_zeros(*x.shape[:-1], self.out_features)
        # A view of a parameter requires a gradient even where none is recorded.
        bias = self.bias if torch.is_grad_enabled() else self.bias.detach()
        return bias.expand(*x.shape[:-1], -1)


class EmptyConv1d(torch.nn.Conv1d):
    """A Conv1d without input or output channels: its bias at every frame.

    PyTorch constructs such a layer but does not run it. The padding must be "same".
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(#batch, inputs, time) -> (#batch, outputs, time)."""
        output = x.new_zeros(x.size(0), self.out_channels, x.size(2))
        return output if self.bias is None else output + self.bias[:, None]


class SkippedNorm(torch.nn.LayerNorm):
    """The layer norm before a module that ignores its input: it returns its own input.

    Its weights stay in checkpoints, and are not trained.
    """

    @classmethod
    def of(cls, stock: torch.nn.LayerNorm) -> SkippedNorm:
        """Take over the weights of ``stock``, which is not used any more."""
        norm = cls.__new__(cls)
        adopt(norm, stock)
        return norm.requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Any shape -> the same."""
        return x


def linear(inputs: int, outputs: int, bias: bool = True) -> torch.nn.Linear:
    """A plain Linear, or an empty one if a width is 0."""
    kind = torch.nn.Linear if inputs and outputs else EmptyLinear
    return kind(inputs, outputs, bias=bias)


def conv1d(
    inputs: int, outputs: int, kernel_size: int, **options: Any
) -> torch.nn.Conv1d:
    """A plain Conv1d, or an empty one if a width is 0."""
    kind = torch.nn.Conv1d if inputs and outputs else EmptyConv1d
    return kind(inputs, outputs, kernel_size, **options)


class EmptyConv2d(torch.nn.Conv2d):
    """A Conv2d without input or output channels: its bias everywhere."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(#batch, inputs, time, frequency) -> (#batch, outputs, ...)."""
        sizes = [
            (size - kernel) // stride + 1
            for size, kernel, stride in zip(x.shape[2:], self.kernel_size, self.stride)
        ]
        output = x.new_zeros(x.size(0), self.out_channels, *sizes)
        return output + self.bias[:, None, None]


def conv2d(
    inputs: int, outputs: int, kernel_size: tuple[int, ...], stride: tuple[int, ...]
) -> torch.nn.Conv2d:
    """A plain Conv2d without padding, or an empty one if a width is 0."""
    kind = torch.nn.Conv2d if inputs and outputs else EmptyConv2d
    return kind(inputs, outputs, kernel_size, stride)
