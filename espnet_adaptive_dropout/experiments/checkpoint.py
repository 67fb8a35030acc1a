"""Which weights of a checkpoint belong to the gates and to the size control."""

from __future__ import annotations

import re
from typing import Dict

import torch

_GATE_WEIGHT = re.compile(r"(^|\.)(scaled_logits$|control\.)")


def is_gate_weight(key: str) -> bool:
    """Whether a weight of this name belongs to a gate or to the size control.

    Args:
        key: name in the state of a whole model, or of an encoder alone.
    """
    return _GATE_WEIGHT.search(key) is not None


def without_gates(state: Dict[str, torch.Tensor]) -> Dict[str, torch.Tensor]:
    """The weights, in a new dict, without those of gates and size control."""
    return {key: value for key, value in state.items() if not is_gate_weight(key)}
