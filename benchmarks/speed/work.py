"""What all parts of the measurement share."""

from __future__ import annotations

import dataclasses
import functools
import shutil
from pathlib import Path

from benchmarks.speed.build import Builder
from benchmarks.speed.encoders import Row
from benchmarks.speed.forms import Forms
from benchmarks.speed.grid import Setting
from benchmarks.speed.store import Store
from benchmarks.speed.timing import Device, Effort


@dataclasses.dataclass
class Work:
    """What to measure, where, and how thoroughly.

    Args:
        exp: directory of results, models and ONNX files.
        device: device to measure on.
        size: size of the encoder, key of ``encoders.SIZES``.
        rows: encoders to compare, the stock encoder first.
        settings: settings of the part ``forward``.
        seconds: time for all parts together.
        rounds: number of rounds; 0: as many as there is time for.
        again: whether rows with results are measured again.
    """

    exp: Path
    device: Device
    size: str
    rows: tuple[Row, ...]
    settings: tuple[Setting, ...]
    seconds: float
    rounds: int = 0
    again: bool = False

    def __post_init__(self) -> None:
        self.builder = functools.lru_cache(maxsize=None)(Builder)
        self.forms = functools.lru_cache(maxsize=None)(self._forms)

    def _forms(self, size: str) -> Forms:
        return Forms(self.builder(size), self.device, self.exp / "forms" / size)

    def forget_files(self) -> None:
        """Remove the models and ONNX files of earlier measurements."""
        for kind in ("forms", "models"):
            shutil.rmtree(self.exp / kind, ignore_errors=True)

    def store(self, part: str) -> Store:
        """Results of a part."""
        return Store(self.exp / part, self.again, self.device.description)

    def describe(self, **setting: object) -> dict[str, object]:
        """Setting of a part other than ``forward``, for JSON."""
        device = dict(device=self.device.name, dtype=self.device.dtype)
        return {"size": self.size, **setting, **device}

    def effort(self, share: float, rounds: int, least: int = 5) -> Effort:
        """Effort of a part: this share of the time, ``rounds`` rounds at most."""
        if self.rounds:
            return Effort(self.rounds)
        return Effort(rounds, share * self.seconds, least)

    def key(self, **setting: object) -> str:
        """Name of the results of a part other than ``forward``."""
        device = self.device
        given = "_".join(f"{value}{name}" for name, value in setting.items())
        return f"{self.size}_{device.name}_{device.dtype}_{given}"
