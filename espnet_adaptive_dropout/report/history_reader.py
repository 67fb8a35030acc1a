"""Reads the TensorBoard event files of a training: histograms and scalars."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from espnet_adaptive_dropout.control.history import TAG, history_directory

# ESPnet's scalar that says at which step an epoch ended.
_EPOCH_ENDS = "iter_epoch"


@dataclasses.dataclass(frozen=True)
class Histograms:
    """Histograms of one location over a training.

    Args:
        steps: (n,), ascending.
        edges: edges of the bins, (bins + 1,).
        counts: units in each bin, (n, bins).
    """

    steps: np.ndarray
    edges: np.ndarray
    counts: np.ndarray


@dataclasses.dataclass(frozen=True)
class Series:
    """A number logged over a training: steps (n,), ascending, and values (n,)."""

    steps: np.ndarray
    values: np.ndarray


def read_history(
    output_dir: str | Path, kind: str = "encoder"
) -> dict[str, Histograms]:
    """Histograms that :class:`history.RetentionHistory` wrote.

    Args:
        output_dir: directory of the training.
        kind: "encoder", also with ``of: model``, or "decoder".

    Returns:
        For each location, and "all", its histograms; empty if there are none.

    Raises:
        ValueError: the tensorboard package is missing.
    """
    directory = history_directory(output_dir, kind)
    if not directory.is_dir():
        return {}
    # The whole directory: a resumed training's file says from which step on the
    # others are void.
    events = _accumulate(directory)
    found = {}
    for tag in events.Tags()["histograms"]:
        if not tag.startswith(TAG):
            continue
        entries = events.Histograms(tag)
        found[tag[len(TAG) :]] = Histograms(
            np.array([entry.step for entry in entries]),
            np.array([0.0, *entries[0].histogram_value.bucket_limit]),
            np.array([entry.histogram_value.bucket for entry in entries]),
        )
    return found


def read_scalars(output_dir: str | Path) -> dict[str, dict[str, Series]]:
    """Numbers that ESPnet logged, where training logged them at intervals.

    Of the training, ESPnet logs means over its log interval and, at the end of every
    epoch, means over the epoch; the latter are left out unless there is nothing else.

    Returns:
        ``{"train": {name: Series}, "valid": {name: Series}}``; empty mappings if
        there are no event files. Values that are not finite are left out.

    Raises:
        ValueError: the tensorboard package is missing.
    """
    found = {}
    for phase in ("train", "valid"):
        points = _points(Path(output_dir) / "tensorboard" / phase)
        ends = {step for step, _ in points.pop(_EPOCH_ENDS, [])}
        if phase == "train":
            points = {name: _within_epochs(p, ends) for name, p in points.items()}
        found[phase] = {name: _series(p) for name, p in points.items()}
    return found


def _accumulate(path: Path) -> Any:
    try:
        from tensorboard.backend.event_processing import event_accumulator
    except ImportError:
        raise ValueError(
            "the tensorboard package is missing: pip install tensorboard"
        ) from None
    everything = {event_accumulator.SCALARS: 0, event_accumulator.HISTOGRAMS: 0}
    events = event_accumulator.EventAccumulator(str(path), size_guidance=everything)
    return events.Reload()


def _points(directory: Path) -> dict[str, list[tuple[int, float]]]:
    """All (step, value) of every scalar; a later file wins where files overlap."""
    found: dict[str, list[tuple[int, float]]] = {}
    for path in sorted(directory.glob("*tfevents*")):
        events = _accumulate(path)
        for name in events.Tags()["scalars"]:
            new = [(event.step, event.value) for event in events.Scalars(name)]
            old = [point for point in found.get(name, []) if point[0] < new[0][0]]
            found[name] = old + new
    return found


def _within_epochs(
    points: list[tuple[int, float]], ends: set
) -> list[tuple[int, float]]:
    """Leave out the last point of every step at which an epoch ended."""
    last = {step: index for index, (step, _) in enumerate(points)}
    means = {last[step] for step in ends if step in last}
    return [p for index, p in enumerate(points) if index not in means] or points


def _series(points: list[tuple[int, float]]) -> Series:
    finite = [point for point in points if np.isfinite(point[1])]
    steps = np.array([step for step, _ in finite], dtype=int)
    return Series(steps, np.array([value for _, value in finite], dtype=float))
