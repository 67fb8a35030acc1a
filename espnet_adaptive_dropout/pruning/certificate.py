"""Proof that the pruned encoder computes what the masked one did.

In double precision, where rounding does not hide a mistake: sums over fewer terms are
rounded otherwise, which in single precision is of the size of a small mistake.
"""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any, Dict, Iterable, Iterator, Tuple

import torch

from espnet_adaptive_dropout.experiments.features import Inputs

# What rounding may do in the model's own precision, as a share of the largest output
ROUNDING = 1e-4


@dataclasses.dataclass
class Certificate:
    """Largest difference between masked and compact encoder on real features.

    Args:
        largest_difference: max |masked - compact| over all real frames, in double
            precision.
        tolerance: what that may be at most.
        rounding: the same difference in the precision of the model.
        dtype: that precision.
        largest_output: max |masked|, for scale.
        utterances: number of utterances compared.
        frames: number of encoder input frames compared.
    """

    largest_difference: float
    tolerance: float
    rounding: float
    dtype: str
    largest_output: float
    utterances: int
    frames: int

    @property
    def holds(self) -> bool:
        """Whether both differences are small enough (NaN is not)."""
        return (
            self.largest_difference <= self.tolerance
            and self.rounding <= ROUNDING * self.largest_output
        )

    def __str__(self) -> str:
        return (
            f"{self.largest_difference:.1e} in double precision, {self.rounding:.1e} "
            f"in {self.dtype}"
        )

    def to_dict(self) -> Dict[str, Any]:
        """For JSON."""
        return {**dataclasses.asdict(self), "holds": self.holds}


@torch.no_grad()
def certify(
    masked: torch.nn.Module,
    compact: torch.nn.Module,
    inputs: Inputs,
    tolerance: float,
) -> Certificate:
    """Compare two encoders in evaluation mode.

    Args:
        masked: adaptive-dropout encoder at full width whose gates say what stays.
        compact: the pruned encoder.
        inputs: of both.
        tolerance: absolute, in double precision.

    Returns:
        The certificate; ask it whether it ``holds``.
    """
    with double_precision((masked, compact, *inputs.modules())):
        exact, _ = _compare(masked, compact, inputs.double())
    rounding, largest_output = _compare(masked, compact, inputs)
    return Certificate(
        exact,
        tolerance,
        rounding,
        str(next(masked.parameters()).dtype).replace("torch.", ""),
        largest_output,
        len(inputs.lengths),
        int(inputs.lengths.sum()),
    )


@contextlib.contextmanager
def double_precision(modules: Iterable[torch.nn.Module]) -> Iterator[None]:
    """Weights and buffers in double precision for a while.

    In place, because ESPnet's attention keeps its last weights, which cannot be
    copied after a forward pass with gradients.
    """
    kept = [
        (tensor, tensor.data)
        for module in modules
        for tensor in (*module.parameters(), *module.buffers())
        if tensor.is_floating_point()
    ]
    for tensor, data in kept:
        tensor.data = data.double()
    try:
        yield
    finally:
        for tensor, data in kept:
            tensor.data = data


def _compare(
    masked: torch.nn.Module, compact: torch.nn.Module, inputs: Inputs
) -> Tuple[float, float]:
    """Largest difference over real frames, and largest output of the first."""
    expected, expected_lengths, _ = inputs.run(masked)
    actual, actual_lengths, _ = inputs.run(compact)
    if isinstance(expected, tuple):  # with intermediate CTC outputs
        expected, actual = expected[0], actual[0]
    real = torch.arange(expected.size(1))[None, :] < expected_lengths[:, None]
    difference = float("inf")
    if torch.equal(expected_lengths, actual_lengths):
        difference = (expected - actual)[real].abs().max().item()
    return difference, expected[real].abs().max().item()
