"""Measurements on disk: one file for each setting, kept from run to run."""

from __future__ import annotations

import dataclasses
import platform
import subprocess
from pathlib import Path
from typing import Any

import torch

from benchmarks import ROOT
from benchmarks.files import read_json, write_json
from benchmarks.speed.choices import REFERENCE, Setting

# Where results go
EXP = ROOT / "benchmarks/exp/speed"
# The setting that the aims are stated in, and that all forms are compared in.
REFERENCE_BATCH, REFERENCE_SECONDS, REFERENCE_THREADS = 1, 10.0, 1

Rows = dict[str, dict[str, Any]]

PARTS = ("forward", "load", "train", "decode")


class Store:
    """Results of one part of the measurement, by setting and row.

    Args:
        directory: directory of the part.
        again: whether rows with results count as missing.
        hardware: name of the hardware that new results are measured on.
    """

    def __init__(self, directory: Path, again: bool = False, hardware: str = ""):
        self.directory = directory
        self.again = again
        self.hardware = hardware

    def path(self, key: str) -> Path:
        """File of a setting."""
        return self.directory / f"{key}.json"

    def read(self, key: str) -> dict[str, Any]:
        """Results of a setting: ``setting``, ``rows`` and ``missing``."""
        path = self.path(key)
        if path.exists():
            return read_json(path)
        return {"setting": {}, "rows": {}, "missing": {}}

    def todo(self, key: str, names: list[str]) -> list[str]:
        """Names of rows that have not been measured."""
        done = {} if self.again else self.read(key)["rows"]
        return [name for name in names if name not in done]

    def add(
        self,
        key: str,
        setting: dict[str, Any],
        rows: dict[str, Any],
        missing: dict[str, str],
    ) -> None:
        """Add rows; those of the same name are replaced."""
        content = self.read(key)
        content["setting"] = setting
        about = {"hardware": self.hardware, **environment()}
        for name, row in rows.items():
            content["rows"][name] = {**row, "about": about}
            content["missing"].pop(name, None)
        content["missing"].update(missing)
        write_json(self.path(key), content)

    def all(self) -> list[dict[str, Any]]:
        """Results of all settings, in the order of their names."""
        return [read_json(path) for path in sorted(self.directory.glob("*.json"))]


def environment() -> dict[str, str]:
    """Versions that a time depends on."""
    import espnet2

    import espnet_adaptive_dropout

    git = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
    )
    return {
        "torch": torch.__version__,
        "espnet": getattr(espnet2, "__version__", "unknown"),
        "plugin": espnet_adaptive_dropout.__version__,
        "commit": git.stdout.strip() or "unknown",
        "python": platform.python_version(),
    }


@dataclasses.dataclass
class Results:
    """All measurements on one device in one precision.

    Args:
        device: name of the device.
        dtype: see ``Device``.
        forward: rows of every setting.
        load, train, decode: contents of the parts' files, of the reference size or,
            where there is none of it, of another.
        missing: row -> why it could not be measured.
    """

    device: str
    dtype: str
    forward: dict[Setting, Rows]
    load: list[dict[str, Any]]
    train: list[dict[str, Any]]
    decode: list[dict[str, Any]]
    missing: dict[str, str]

    @property
    def size(self) -> str:
        """The size that is compared in depth."""
        sizes = [s.size for s in self.forward]
        sizes += [content["setting"]["size"] for content in self.load + self.train]
        return REFERENCE if REFERENCE in sizes or not sizes else sizes[0]

    @property
    def reference(self) -> Setting | None:
        """The setting of the aims, or else the first one that was measured."""
        wanted = Setting(
            self.size,
            REFERENCE_BATCH,
            REFERENCE_SECONDS,
            REFERENCE_THREADS,
            self.device,
            self.dtype,
        )
        of_size = self.settings()
        return wanted if wanted in of_size else next(iter(of_size), None)

    def settings(self) -> list[Setting]:
        """Settings of ``size``, sorted by threads, batch and length."""
        chosen = [s for s in self.forward if s.size == self.size]
        return sorted(chosen, key=lambda s: (s.threads, s.batch, s.seconds))

    def lengths(self) -> list[Setting]:
        """Settings that differ from the reference in the length only."""
        reference = self.reference
        return [
            s
            for s in self.settings()
            if (s.batch, s.threads) == (reference.batch, reference.threads)
        ]

    def widths(self) -> list[Setting]:
        """Settings that differ from the reference in the width only."""
        reference = self.reference
        same = [
            s
            for s in self.forward
            if dataclasses.replace(s, size=reference.size) == reference
            and s.size.isdigit()
        ]
        return sorted(same, key=lambda s: int(s.size))

    def abouts(self) -> list[dict[str, str]]:
        """The environments that rows were measured in, each once."""
        tables = list(self.forward.values())
        tables += [c["rows"] for c in self.load + self.train + self.decode]
        found = [row["about"] for rows in tables for row in rows.values()]
        return [about for i, about in enumerate(found) if about not in found[:i]]


def read_results(exp: Path) -> list[Results]:
    """Everything under ``exp``, by device and precision.

    Raises:
        ValueError: nothing has been measured.
    """
    parts = {part: Store(exp / part).all() for part in PARTS}
    kinds = sorted(
        {
            (content["setting"]["device"], content["setting"]["dtype"])
            for contents in parts.values()
            for content in contents
        }
    )
    if not kinds:
        raise ValueError(f"{exp}: no results; run python -m benchmarks.speed first")
    return [_of_kind(parts, *kind) for kind in kinds]


def _of_kind(parts: dict[str, list[dict]], device: str, dtype: str) -> Results:
    chosen = {
        part: [
            content
            for content in contents
            if (content["setting"]["device"], content["setting"]["dtype"])
            == (device, dtype)
        ]
        for part, contents in parts.items()
    }
    missing: dict[str, str] = {}
    for contents in chosen.values():
        for content in contents:
            missing.update(content["missing"])
    forward = {Setting(**c["setting"]): c["rows"] for c in chosen["forward"]}
    results = Results(
        device,
        dtype,
        forward,
        *(chosen[part] for part in PARTS[1:]),
        missing,
    )
    size = results.size
    for part in PARTS[1:]:
        contents = getattr(results, part)
        setattr(results, part, [c for c in contents if c["setting"]["size"] == size])
    return results
