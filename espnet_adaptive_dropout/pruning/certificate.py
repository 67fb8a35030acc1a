"""Proof that the pruned encoder computes what the masked one did."""

from __future__ import annotations

import dataclasses
from typing import Any, Dict

import torch

from espnet_adaptive_dropout.pruning.features import Inputs


@dataclasses.dataclass
class Certificate:
    """Largest difference between masked and compact encoder on real features.

    Args:
        largest_difference: max |masked - compact| over all real frames.
        largest_output: max |masked|, for scale.
        tolerance: what the difference may be at most.
        utterances: number of utterances compared.
        frames: number of encoder input frames compared.
        dtype: precision of the comparison.
    """

    largest_difference: float
    largest_output: float
    tolerance: float
    utterances: int
    frames: int
    dtype: str

    @property
    def holds(self) -> bool:
        """Whether the difference is within the tolerance (NaN is not)."""
        return self.largest_difference <= self.tolerance

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
        tolerance: absolute.

    Returns:
        The certificate; ask it whether it ``holds``.
    """
    expected, expected_lengths, _ = inputs.run(masked)
    actual, actual_lengths, _ = inputs.run(compact)
    if isinstance(expected, tuple):  # with intermediate CTC outputs
        expected, actual = expected[0], actual[0]
    real = torch.arange(expected.size(1))[None, :] < expected_lengths[:, None]
    difference = (expected - actual)[real].abs().max().item()
    if not torch.equal(expected_lengths, actual_lengths):
        difference = float("inf")
    return Certificate(
        difference,
        expected[real].abs().max().item(),
        tolerance,
        len(inputs.lengths),
        int(inputs.lengths.sum()),
        str(expected.dtype).replace("torch.", ""),
    )
