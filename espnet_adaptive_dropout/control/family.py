"""One training for several sizes: every step is trained at one of them.

The sizes share one order of the units, so that each smaller model is a part of each
larger one. A common shift of all logits selects a size: before the freeze it is the
shift that makes the expected size right; after it the logits lie in bands, one for
each step from size to size, and a shift by whole bands moves the threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Callable

import torch

from espnet_adaptive_dropout.modules.gate import SATURATED_LOGIT

# Distance of two bands, and how far a band may reach to either side of its middle:
# what is left between them is wider than the noise of the samples.
BAND = 3.0 * SATURATED_LOGIT
REACH = SATURATED_LOGIT / 2


def banded_logits(
    logits: torch.Tensor, keeps: Sequence[torch.Tensor], chosen: int
) -> torch.Tensor:
    """Saturated logits that hold the masks of all sizes, and the old order.

    Args:
        logits: learned, (units,).
        keeps: bool (units,) of every size from the largest model to the smallest,
            each a subset of the one before.
        chosen: index of the size that unshifted logits select.

    Returns:
        Logits (units,): in each band the order of ``logits`` is kept. Shifted by
        ``-BAND * (i - chosen)`` their signs are the masks of size i.
    """
    times_kept = torch.stack(list(keeps)).sum(dim=0)
    result = torch.empty_like(logits)
    for band in range(len(keeps) + 1):
        members = times_kept == band
        if not members.any():
            continue
        middle = logits[members].median()
        order = REACH * torch.tanh((logits[members] - middle) / REACH)
        result[members] = BAND * (band - chosen - 0.5) + order
    return result


def shift_to_size(
    logits: torch.Tensor,
    expected: Callable[[torch.Tensor], torch.Tensor],
    reduction: float,
) -> torch.Tensor:
    """The common shift of ``logits`` whose expected removed share is ``reduction``.

    Found by bisection, all of it on the device of ``logits``.

    Args:
        logits: (units,).
        expected: share of the encoder that is expected to go with given logits, ().
        reduction: share that should be expected to go.

    Returns:
        (), to 0.001.
    """
    low, high = logits.new_tensor(-4.0 * BAND), logits.new_tensor(4.0 * BAND)
    for _ in range(21):
        middle = 0.5 * (low + high)
        too_much = expected(logits + middle) > reduction
        low = torch.where(too_much, middle, low)
        high = torch.where(too_much, high, middle)
    return 0.5 * (low + high)


def draw(step: int, choices: Sequence[float]) -> int:
    """Index of the size of this training step: random, the same in all processes."""
    generator = torch.Generator().manual_seed(step)
    return int(torch.randint(len(choices), (1,), generator=generator))


def all_sizes(target: float, family: Sequence[float]) -> list[float]:
    """The sizes to train for, ascending shares to remove, the target among them."""
    return sorted({float(target), *map(float, family)})
