"""ESPnet experiments of the rows on disk, to be loaded and decoded with."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Dict

import torch
import yaml

from benchmarks.files import save_torch, write_text
from benchmarks.speed.build import Builder
from benchmarks.speed.rows import Row
from espnet_adaptive_dropout.experiments.experiment import build_model

# Log mel filter banks at a 10 ms hop, from audio at 16 kHz.
FRONTEND: Dict[str, Any] = dict(
    input_size=None,
    frontend="default",
    frontend_conf=dict(n_fft=512, hop_length=160),
    normalize="utterance_mvn",
)


def write_experiment(builder: Builder, row: Row, directory: Path) -> Path:
    """Write config.yaml and model.pth of the row's model with a frontend.

    Returns:
        The directory; what is there already stays.
    """
    if (directory / "model.pth").exists():
        return directory
    config = {**builder.config_of(row), **FRONTEND}
    model = build_model(builder.task, config)
    weights = builder.model(row).state_dict()
    state = {**model.state_dict(), **weights}
    model.load_state_dict(state)
    text = yaml.safe_dump(_plain(config), sort_keys=False, allow_unicode=True)
    write_text(directory / "config.yaml", text)
    save_torch(directory / "model.pth", model.state_dict())
    return directory


def _plain(value: Any) -> Any:
    """Tuples as lists and paths as text, as ESPnet writes them."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def saved_bytes(module: torch.nn.Module) -> int:
    """Size of the file of a module's weights."""
    import io

    stream = io.BytesIO()
    torch.save(module.state_dict(), stream)
    return stream.getbuffer().nbytes
