"""Files of the benchmarks, written whole or not at all in directories made for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from espnet_adaptive_dropout.experiments import files


def write_text(path: Path, text: str) -> None:
    """Write a text file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_text(path, text)


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_json(path, content)


def write_yaml(path: Path, content: Any) -> None:
    """Write a YAML file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_yaml(path, content)


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def save_torch(path: Path, content: Any) -> None:
    """Write a PyTorch file."""
    import torch

    path.parent.mkdir(parents=True, exist_ok=True)
    with files.replacing(path) as partial:
        torch.save(content, partial)
