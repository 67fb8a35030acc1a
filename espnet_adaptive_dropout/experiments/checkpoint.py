"""Weights of a checkpoint: which belong to gates, and whether they are sound."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch

from espnet_adaptive_dropout.experiments.files import replacing
from espnet_adaptive_dropout.experiments.large_tensors import return_small_tensors

# Name of the logits in older checkpoints, where they are divided by a scale.
_SCALED = "scaled_logits"
_GATE_WEIGHT = re.compile(r"(^|\.)((scaled_)?logits$|control\.)")


def is_gate_weight(key: str) -> bool:
    """Whether a weight of this name belongs to a gate or to the size control.

    Args:
        key: name of the weight in the state of a model or of an encoder.
    """
    return _GATE_WEIGHT.search(key) is not None


def without_gates(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return a new dict of the weights without those of gates and size control."""
    return {key: value for key, value in state.items() if not is_gate_weight(key)}


def in_single_precision(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return a new dict of the weights with all floating-point types as float32."""
    return {
        key: value.float() if value.is_floating_point() else value
        for key, value in state.items()
    }


def first_not_finite(state: dict[str, torch.Tensor]) -> str | None:
    """Return the name of the first tensor with a NaN or infinite value, or None.

    An attention mask of zeros and minus infinity, which some models keep among their
    weights, is sound.
    """
    for key, value in state.items():
        if not value.is_floating_point() or value.isfinite().all():
            continue
        is_mask = value.dim() > 1 and ((value == 0) | (value == -float("inf"))).all()
        if not is_mask:
            return key
    return None


def damaged_part(path: str | Path) -> str | None:
    """Return the first part of a zipped checkpoint whose checksum is wrong, or None.

    PyTorch does not verify the checksums. Files of PyTorch before 1.6 have none.
    """
    if not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as archive:
        return archive.testzip()


def write_weights(state: Mapping[str, torch.Tensor], path: str | Path) -> None:
    """Write a model file, whole or not at all.

    A model that was opened from an earlier file of that name keeps its weights.

    Raises:
        OSError: the file cannot be written.
    """
    return_small_tensors()
    try:
        with replacing(path) as partial:
            torch.save(dict(state), partial)
    except RuntimeError as error:  # how PyTorch reports a full disk
        raise OSError(f"cannot write {path}: {error}") from error


def unscale_logits(state: dict[str, torch.Tensor], scale: float | None) -> bool:
    """Convert the logits of an older release's checkpoint to the present form.

    Args:
        state: weights of the checkpoint, changed in place.
        scale: ``adaptive_dropout_conf.logit_scale`` of the training.

    Returns:
        Whether it was such a checkpoint.
    """
    old = [key for key in state if key.endswith(_SCALED)]
    for key in old:
        state[key[: -len(_SCALED)] + "logits"] = state.pop(key) * (scale or 1.0)
    return bool(old)
