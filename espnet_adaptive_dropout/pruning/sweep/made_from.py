"""Notes beside a result what it was made from, so that it is made only once."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any, Dict, Iterable, Optional


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


def digests(paths: Iterable[Path]) -> Dict[str, str]:
    """SHA-256 of every file, by path."""
    return {str(path): digest(path) for path in paths}


def read_result(path: Path, made_from: Dict[str, Any]) -> Optional[Any]:
    """The result that :func:`write_result` wrote, if it was made from just this.

    Returns:
        The result; None if there is none, or another one.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        same = content["made_from"] == json.loads(json.dumps(made_from))
        return content["result"] if same else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_result(path: Path, made_from: Dict[str, Any], result: Any) -> None:
    """Write a result, whole or not at all."""
    replace(path, json.dumps({"made_from": made_from, "result": result}, indent=2))


def replace(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text.rstrip("\n") + "\n", encoding="utf-8")
    os.replace(partial, path)
