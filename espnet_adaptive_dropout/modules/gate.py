"""Adaptive dropout: a learned retention probability for every unit of a vector.

The gate knows nothing of Conformers. A unit d has a logit beta_d, its retention
probability is p_d = sigmoid(beta_d) and its mask m_d ~ Bernoulli(p_d); the unit's
output is m_d * x_d (arXiv 2412.04836, "adaptive dropout layer").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from espnet_adaptive_dropout.modules.masked_product import masked_linear
from espnet_adaptive_dropout.modules.time_major import PointwiseConv

DISTRIBUTIONS = ("bernoulli", "hard_concrete")
# Usual temperatures: Jang et al. 2017; Louizos et al. 2018.
TEMPERATURES = {"bernoulli": 1.0, "hard_concrete": 2.0 / 3.0}
# The interval that Louizos et al. stretch the concrete distribution to.
STRETCH = (-0.1, 1.1)

FORWARDS = ("hard", "deterministic")
# What a gate does in training; the size control moves it from one to the next.
PHASES = ("open", "sampled", "decided")

# A logit this far from zero samples the same mask always (the logistic noise is
# clamped to +-14) and has a gradient that underflows to nothing.
SATURATED_LOGIT = 60.0


class _StraightThrough(torch.autograd.Function):
    """Threshold forward, identity backward."""

    @staticmethod
    def forward(ctx: Any, soft: torch.Tensor) -> torch.Tensor:
        return (soft > 0.5).to(soft.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return gradient


def sample_gumbel_sigmoid(
    logits: torch.Tensor, temperature: float = 1.0, hard: bool = True
) -> torch.Tensor:
    """Draw a relaxed Bernoulli (binary concrete) sample of every logit.

    s = sigmoid((logit + log u - log(1 - u)) / temperature) with u ~ Uniform(0, 1).

    Args:
        logits: any shape, float32.
        temperature: sharpness of the relaxation, > 0; 1.0 is the usual value.
        hard: return 1[s > 0.5], exactly 0 or 1, with the gradient of s
            (straight-through); otherwise return s.

    Returns:
        A tensor of the shape of ``logits``.
    """
    noise = torch.rand_like(logits).clamp_(1e-6, 1.0 - 1e-6)
    soft = torch.sigmoid((logits + torch.logit(noise)) / temperature)
    return _StraightThrough.apply(soft) if hard else soft


def sample_hard_concrete(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """Draw a hard concrete sample (Louizos et al. 2018, section 2.1) of every logit.

    z = clamp(s (b - a) + a, 0, 1) with s a binary concrete sample and (a, b) the
    stretch. Its location is chosen so that P(z > 0) = sigmoid(logit), which makes
    the logits mean the same as those of a Bernoulli gate.

    Args:
        logits: any shape, float32.
        temperature: > 0; 2/3 is the usual value.

    Returns:
        Values in [0, 1], of the shape of ``logits``, many exactly 0 or 1.
    """
    low, high = STRETCH
    location = logits + temperature * math.log(-low / high)
    soft = sample_gumbel_sigmoid(location, temperature, hard=False)
    return (soft * (high - low) + low).clamp(0.0, 1.0)


class AdaptiveDropout(torch.nn.Module):
    """Multiplies every unit of a vector by its sampled or decided mask.

    In training the mask is sampled (see :func:`sample_gumbel_sigmoid`); in
    evaluation it is 1[p > 0.5]. The output is not rescaled by 1 / p. A deterministic
    gate takes 1[p > 0.5] in training too, with the gradient of p (straight-through).
    Ordinary dropout, if the gate replaces one, acts while nothing is sampled.

    The logits are a parameter that requires no gradient: no optimizer moves it. For
    one forward pass, :meth:`require_gradient` gives a leaf tensor whose gradient says
    where the loss wants the logits to go.

    Args:
        units: number of units.
        initial_logit: logit of every unit at the start; 4.0 means p = 0.98.
        temperature: temperature of the Gumbel-sigmoid; > 0.
        forward: "hard" (a 0/1 sample for every utterance, straight-through gradient)
            or "deterministic" (no samples); of Bernoulli gates.
        distribution: "bernoulli" or "hard_concrete".
        dropout_rate: rate of the ordinary dropout.

    Attributes:
        logits: logits beta of the retention probabilities, (units,).
        leaf: the logits as a leaf tensor that collects their gradient, or None.
        phase: in training, "open" (all units are kept and the logits rest), "sampled"
            or "decided" (the mask is 1[p > 0.5] and the logits rest).
        shift: added to the logits when masks are sampled; training for several
            sizes sets it in every step.

    Shape:
        Input and output: (#batch, ..., units).
    """

    def __init__(
        self,
        units: int,
        initial_logit: float = 4.0,
        temperature: float = 1.0,
        forward: str = "hard",
        distribution: str = "bernoulli",
        dropout_rate: float = 0.0,
    ):
        super().__init__()
        self.num_units = units
        self.initial_logit = initial_logit
        self.temperature = temperature
        self.sampling = forward
        self.distribution = distribution
        self.dropout_rate = dropout_rate
        self.phase = "sampled"
        self.shift = 0.0
        self.logits = torch.nn.Parameter(torch.empty(units), requires_grad=False)
        self.leaf: torch.Tensor | None = None
        self.espnet_initialization_fn()

    def espnet_initialization_fn(self) -> None:
        """Set the initial logits (ESPnet calls this after its own ``--init``)."""
        torch.nn.init.constant_(self.logits, self.initial_logit)

    @torch.no_grad()
    def set_logits(self, logits: torch.Tensor) -> None:
        """Overwrite the logits, (units,)."""
        self.logits.copy_(logits)

    def require_gradient(self) -> torch.Tensor:
        """Let a new leaf tensor stand for the logits until ``leaf`` is None again."""
        self.leaf = self.logits.detach().requires_grad_()
        return self.leaf

    def mask(self, shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
        """Return a mask for vectors of ``shape`` (#batch, ..., units).

        Returns:
            A tensor of as many dimensions that broadcasts against ``shape``.
        """
        batch, *inner, units = shape
        for_all = (1,) * (len(shape) - 1) + (units,)
        if not self.training:
            return (self.logits > 0).to(dtype).view(for_all)
        if self.phase == "open":
            return self.logits.new_ones(for_all, dtype=dtype)
        logits = self.logits if self.leaf is None else self.leaf
        logits = logits.float() + self.shift
        if self.phase == "decided":
            return (logits > 0).to(dtype).view(for_all)
        if self.sampling == "deterministic":
            soft = torch.sigmoid(logits / self.temperature)
            mask = (logits > 0).to(soft.dtype) + (soft - soft.detach())
            return mask.to(dtype).view(for_all)
        logits = logits.expand(batch, *(1 for _ in inner), units)
        if self.distribution == "hard_concrete":
            return sample_hard_concrete(logits, self.temperature).to(dtype)
        return sample_gumbel_sigmoid(logits, self.temperature).to(dtype)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mask ``x`` (#batch, ..., units)."""
        x = self._dropped(x)
        return x * self.mask(x.shape, x.dtype)

    def _dropped(self, x: torch.Tensor) -> torch.Tensor:
        """``x`` after the ordinary dropout."""
        samples = self.phase == "sampled" and self.sampling != "deterministic"
        if samples or self.dropout_rate == 0.0:
            return x
        return torch.nn.functional.dropout(x, self.dropout_rate, self.training)

    @property
    def is_open(self) -> bool:
        """Whether all units are kept at present."""
        return self.training and self.phase == "open"

    def apply_layer(self, layer: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
        """Apply ``layer`` to masked ``x``; training does not store the masked vectors.

        Args:
            layer: ``Linear``, or a convolution of kernel size 1 on such vectors.
            x: (#batch, ..., units).
        """
        if self.is_open:
            return layer(self._dropped(x))
        is_plain = type(layer) in (torch.nn.Linear, PointwiseConv)
        if not self.training or not is_plain:
            return layer(self(x))
        mask = self.mask(x.shape, x.dtype)
        x = self._dropped(x)
        return masked_linear(x, mask, layer.weight.flatten(1), layer.bias)

    def extra_repr(self) -> str:
        return (
            f"{self.num_units}, {self.distribution}, "
            f"temperature={self.temperature:.3g}, forward={self.sampling}"
        )
