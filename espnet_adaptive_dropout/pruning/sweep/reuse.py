"""Results stored with their sources, so that a second run can use them again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Callable

from espnet_adaptive_dropout.experiments.files import write_json


def digest(path: Path) -> str:
    """Return the SHA-256 of a file.

    Raises:
        OSError: the file cannot be read.
    """
    total = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            total.update(block)
    return total.hexdigest()


def digests(paths: Iterable[Path]) -> dict[str, str]:
    """Return the SHA-256 of every file, by path."""
    return {str(path): digest(path) for path in paths}


def read_result(path: Path, sources: dict[str, Any]) -> Any | None:
    """Return the result that :func:`write_result` wrote from the same sources.

    None stands for a missing result, and for one of other sources.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        same = content["made_from"] == json.loads(json.dumps(sources))
        return content["result"] if same else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def stored(path: Path, sources: dict[str, Any], make: Callable[[], Any]) -> Any:
    """Return the stored result of the same sources, or make and store it."""
    result = read_result(path, sources)
    if result is None:
        result = make()
        write_result(path, sources, result)
    return result


def write_result(path: Path, sources: dict[str, Any], result: Any) -> None:
    """Write a result with its sources, whole or not at all."""
    write_json(path, {"made_from": sources, "result": result})
