"""Reads back what has been measured."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Dict, List, Optional

from benchmarks.speed.architecture import REFERENCE
from benchmarks.speed.settings import Setting
from benchmarks.speed.store import Store

# The setting that the aims are stated in, and that all forms are compared in.
REFERENCE_BATCH, REFERENCE_SECONDS, REFERENCE_THREADS = 1, 10.0, 1

Rows = Dict[str, Dict[str, Any]]


@dataclasses.dataclass
class Results:
    """All that was measured on one device in one precision.

    Args:
        device: name.
        dtype: see ``Device``.
        forward: rows of every setting.
        load, train, decode: contents of the parts' files, of the reference size or,
            where there is none of it, of another.
        missing: row -> why it could not be measured.
    """

    device: str
    dtype: str
    forward: Dict[Setting, Rows]
    load: List[Dict[str, Any]]
    train: List[Dict[str, Any]]
    decode: List[Dict[str, Any]]
    missing: Dict[str, str]

    @property
    def size(self) -> str:
        """The size that is compared in depth."""
        sizes = [s.size for s in self.forward]
        sizes += [content["setting"]["size"] for content in self.load + self.train]
        return REFERENCE if REFERENCE in sizes or not sizes else sizes[0]

    @property
    def reference(self) -> Optional[Setting]:
        """The setting of the aims; where it was not measured, the first that was."""
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

    def settings(self) -> List[Setting]:
        """Of ``size``, one thread before many, then by batch and length."""
        chosen = [s for s in self.forward if s.size == self.size]
        return sorted(chosen, key=lambda s: (s.threads, s.batch, s.seconds))

    def lengths(self) -> List[Setting]:
        """Those that differ from the reference in nothing but the length."""
        reference = self.reference
        return [
            s
            for s in self.settings()
            if (s.batch, s.threads) == (reference.batch, reference.threads)
        ]

    def widths(self) -> List[Setting]:
        """Those that differ from the reference in nothing but the width."""
        reference = self.reference
        same = [
            s
            for s in self.forward
            if dataclasses.replace(s, size=reference.size) == reference
            and s.size.isdigit()
        ]
        return sorted(same, key=lambda s: int(s.size))

    def abouts(self) -> List[Dict[str, str]]:
        """The environments that rows were measured in, each once."""
        tables = list(self.forward.values())
        tables += [c["rows"] for c in self.load + self.train + self.decode]
        found = [row["about"] for rows in tables for row in rows.values()]
        return [about for i, about in enumerate(found) if about not in found[:i]]


def read_results(exp: Path) -> List[Results]:
    """Everything under ``exp``, by device and precision.

    Raises:
        ValueError: nothing has been measured.
    """
    parts = {
        part: Store(exp / part).all() for part in ("forward", "load", "train", "decode")
    }
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


def _of_kind(parts: Dict[str, List[Dict]], device: str, dtype: str) -> Results:
    chosen = {
        part: [
            content
            for content in contents
            if (content["setting"]["device"], content["setting"]["dtype"])
            == (device, dtype)
        ]
        for part, contents in parts.items()
    }
    missing: Dict[str, str] = {}
    for contents in chosen.values():
        for content in contents:
            missing.update(content["missing"])
    forward = {Setting(**c["setting"]): c["rows"] for c in chosen["forward"]}
    results = Results(
        device,
        dtype,
        forward,
        *(chosen[p] for p in ("load", "train", "decode")),
        missing,
    )
    size = results.size
    for part in ("load", "train", "decode"):
        contents = getattr(results, part)
        setattr(results, part, [c for c in contents if c["setting"]["size"] == size])
    return results
