"""Sinusoidal positional encodings without a limit of the length.

ESPnet's keep a table of 5,000 frames and slice it. In an exported file it would take
up megabytes and be the limit of the length; computed from the length it is neither.
"""

from __future__ import annotations

import math

import torch

from espnet_adaptive_dropout import compat


class _Positions(torch.nn.Module):
    def __init__(self, stock: torch.nn.Module):
        super().__init__()
        self.scale = stock.xscale
        size = stock.d_model
        # To the bit: at position 5,000 the last bit of a rate is 3e-4 of an angle.
        pairs = torch.arange(0, size, 2, dtype=torch.float32)
        rates = torch.exp(pairs * -(math.log(10000.0) / size))
        self.register_buffer("rates", rates)

    def table(self, positions: torch.Tensor) -> torch.Tensor:
        """Sines and cosines in turn, (1, time, size), of ``positions`` (time,)."""
        angles = positions[:, None].to(self.rates.dtype) * self.rates
        return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)[None]


class AbsolutePositions(_Positions):
    """``PositionalEncoding`` in evaluation mode."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(#batch, time, size) -> the same."""
        positions = torch.arange(x.size(1), device=x.device)
        return x * self.scale + self.table(positions)


class ScaledPositions(_Positions):
    """``ScaledPositionalEncoding`` in evaluation mode."""

    def __init__(self, stock: torch.nn.Module):
        super().__init__(stock)
        self.alpha = stock.alpha

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(#batch, time, size) -> the same."""
        positions = torch.arange(x.size(1), device=x.device)
        return x + self.alpha * self.table(positions)


class RelativePositions(_Positions):
    """``RelPositionalEncoding`` in evaluation mode."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(#batch, time, size) -> the same, and (1, 2 * time - 1, size)."""
        time = x.size(1)
        positions = time - 1 - torch.arange(2 * time - 1, device=x.device)
        return x * self.scale, self.table(positions)


class LegacyRelativePositions(_Positions):
    """``LegacyRelPositionalEncoding`` in evaluation mode.

    That one counts down from the end of its table, which the model was trained with,
    not from the end of the utterance.
    """

    def __init__(self, stock: torch.nn.Module):
        super().__init__(stock)
        self.register_buffer("longest", torch.tensor(stock.pe.size(1)))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(#batch, time, size) -> the same, and (1, time, size)."""
        positions = torch.arange(x.size(1), device=x.device)
        start = torch.maximum(self.longest - 1, positions[-1])
        return x * self.scale, self.table(start - positions)


_OF_ANY_LENGTH = {
    compat.PositionalEncoding: AbsolutePositions,
    compat.ScaledPositionalEncoding: ScaledPositions,
    compat.RelPositionalEncoding: RelativePositions,
    compat.LegacyRelPositionalEncoding: LegacyRelativePositions,
}


def free_positions(module: torch.nn.Module) -> None:
    """Replace ESPnet's sinusoidal positional encodings in ``module``, in place."""
    for name, child in module.named_children():
        kind = _OF_ANY_LENGTH.get(type(child))
        if kind is None:
            free_positions(child)
        else:
            setattr(module, name, kind(child))
