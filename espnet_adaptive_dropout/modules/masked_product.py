"""Products with masks that are the same at all times, for training.

Autograd would store mask * x beside x until the backward pass; here it is calculated
again. Gradients are those of the plain product.
"""

from __future__ import annotations

from typing import Any

import torch


def masked_linear(
    x: torch.Tensor,
    mask: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
) -> torch.Tensor:
    """linear(mask * x), under autocast in its type.

    Args:
        x: (#batch, ..., inputs).
        mask: broadcasts against ``x``.
        weight: (outputs, inputs).
        bias: (outputs,) or None.

    Returns:
        (#batch, ..., outputs).
    """
    device = x.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        x, mask, weight = x.to(dtype), mask.to(dtype), weight.to(dtype)
        bias = None if bias is None else bias.to(dtype)
    return _MaskedLinear.apply(x, mask, weight, bias)


class _MaskedLinear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        mask: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
    ) -> torch.Tensor:
        ctx.save_for_backward(x, mask, weight)
        ctx.has_bias = bias is not None
        return torch.nn.functional.linear(x * mask, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, mask, weight = ctx.saved_tensors
        of_product = gradient.matmul(weight)
        of_mask = (of_product * x).sum_to_size(mask.shape)
        rows = gradient.flatten(0, -2)
        of_weight = rows.t().mm((x * mask).flatten(0, -2))
        of_bias = rows.sum(0) if ctx.has_bias else None
        return of_product.mul_(mask), of_mask, of_weight, of_bias


def masked_relu(x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return mask * relu(x) of channels; only x and the mask are stored.

    Args:
        x: (#batch, channels, ...).
        mask: (#batch or 1, channels, 1, ...), not negative.
    """
    return _MaskedReLU.apply(x, mask)


class _MaskedReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x, mask)
        return (x * mask).relu_()

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x, mask = ctx.saved_tensors
        of_relu = torch.ops.aten.threshold_backward(gradient, x, 0.0)
        rows = of_relu.reshape(x.size(0) * x.size(1), 1, -1)
        of_mask = rows.bmm(x.reshape(rows.size(0), -1, 1))
        of_mask = of_mask.view(*x.shape[:2], *[1] * (x.dim() - 2))
        return of_relu.mul_(mask), of_mask.sum_to_size(mask.shape)
