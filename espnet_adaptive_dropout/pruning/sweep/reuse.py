"""Results that are kept with their sources, so that each is made only once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from espnet_adaptive_dropout.experiments.files import write_json


def digest(path: Path) -> str:
    """SHA-256 of a file.

    Raises:
        OSError: it cannot be read.
    """
    total = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            total.update(block)
    return total.hexdigest()


def digests(paths: Iterable[Path]) -> dict[str, str]:
    """SHA-256 of every file, by path."""
    return {str(path): digest(path) for path in paths}


def read_result(path: Path, sources: dict[str, Any]) -> Any | None:
    """The result that :func:`write_result` wrote, if it has just these sources.

    Returns:
        The result; None if there is none, or another one.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        same = content["made_from"] == json.loads(json.dumps(sources))
        return content["result"] if same else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_result(path: Path, sources: dict[str, Any], result: Any) -> None:
    """Write a result with what it was made from, whole or not at all."""
    write_json(path, {"made_from": sources, "result": result})
