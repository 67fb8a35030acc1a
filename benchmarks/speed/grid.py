"""The settings in which encoding is timed, and for how long."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence

from benchmarks.speed.encoders import REFERENCE, SIZES
from benchmarks.speed.timing import Effort

GRIDS = ("quick", "default", "full")
LENGTHS = (5.0, 10.0, 20.0, 30.0)
# Rows of the plot over the width
WIDTH_ROWS = ("stock", "compact", "gated", "paper_54", "all_54")


@dataclasses.dataclass(frozen=True)
class Setting:
    """One setting in which encoders are timed.

    Args:
        size: key of ``encoders.SIZES``.
        batch: number of utterances.
        seconds: length of each.
        threads: of PyTorch and ONNX Runtime.
        device: name.
        dtype: see ``Device``.
    """

    size: str
    batch: int
    seconds: float
    threads: int
    device: str = "cpu"
    dtype: str = "float32"

    @property
    def key(self) -> str:
        """Name of its results' file."""
        return (
            f"{self.size}_{self.device}_{self.dtype}_batch{self.batch}"
            f"_{self.seconds:g}s_{self.threads}threads"
        )

    def __str__(self) -> str:
        device = "" if self.device == "cpu" else f", {self.device} {self.dtype}"
        return (
            f"width {self.size}, batch {self.batch}, {self.seconds:g} s, "
            f"{self.threads} thread{'s' if self.threads > 1 else ''}{device}"
        )

    @property
    def weight(self) -> float:
        """Time to measure this setting, relative to others."""
        return 20.0 + self.batch * self.seconds


def processors() -> int:
    """Number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def named_grid(name: str, size: str, **device: str) -> list[Setting]:
    """The settings of a grid.

    Args:
        name: one of GRIDS; "quick": one setting; "default": one utterance of every
            length, and a batch and all threads at ten seconds; "full": all of each
            with all. The last two also have other widths.
        size: size of the encoder.
        **device: ``device`` and ``dtype`` of Setting.
    """
    if name == "quick":
        return [Setting(size, 1, 10.0, 1, **device)]
    every = (1,) if processors() == 1 else (1, processors())
    settings = [
        Setting(size, batch, seconds, threads, **device)
        for threads in (every[:1] if device["device"] != "cpu" else every)
        for batch in (1, 8)
        for seconds in LENGTHS
    ]
    if name == "default":
        settings = [
            s for s in settings if s.seconds == 10.0 or (s.batch, s.threads) == (1, 1)
        ]
    others = [other for other in SIZES if other not in ("tiny", size)]
    if size == REFERENCE:
        settings += [Setting(other, 1, 10.0, 1, **device) for other in others]
    return settings


def chosen_grid(
    size: str,
    batches: Sequence[int],
    lengths: Sequence[float],
    threads: Sequence[str],
    **device: str,
) -> list[Setting]:
    """Every combination of the given values.

    Args:
        size: of the encoder.
        batches: numbers of utterances.
        lengths: seconds.
        threads: numbers, or "all".
        **device: ``device`` and ``dtype`` of Setting.

    Raises:
        ValueError: a number is not positive, or not a number.
    """
    counts = [str(processors()) if number == "all" else number for number in threads]
    for number in counts:
        if not number.isdigit() or int(number) < 1:
            raise ValueError(f"--threads {number}: must be a number above 0, or 'all'")
    if min(batches) < 1 or min(lengths) < 1.0:
        raise ValueError("--batch and --seconds must be 1 or more")
    return [
        Setting(size, batch, seconds, int(count), **device)
        for count in dict.fromkeys(counts)
        for batch in batches
        for seconds in lengths
    ]


def efforts(
    settings: Sequence[Setting], seconds: float, rounds: int
) -> list[tuple[Setting, Effort]]:
    """Share the time between the settings, long utterances more.

    Args:
        settings: that are to be measured.
        seconds: for all together.
        rounds: of each; 0: as many as there is time for, five to forty.
    """
    if rounds:
        return [(setting, Effort(rounds)) for setting in settings]
    total = sum(setting.weight for setting in settings)
    return [(s, Effort(40, seconds * s.weight / total)) for s in settings]
