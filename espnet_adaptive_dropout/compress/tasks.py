"""The tasks whose models recognise speech, and how ESPnet's commands call them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from espnet_adaptive_dropout.experiments.experiment import first_line

# Task -> module of ``espnet2.bin``, class, and prefix of what it calls the files
CLASSES = {
    "asr": ("asr_inference", "Speech2Text", "asr"),
    "s2t": ("s2t_inference", "Speech2Text", "s2t"),
    "st": ("st_inference", "Speech2Text", "st"),
    "slu": ("slu_inference", "Speech2Understand", "slu"),
}
TASKS = tuple(CLASSES)


def check_task(task: str) -> None:
    """Refuse a task whose models recognise no speech, with a ValueError."""
    if task not in TASKS:
        raise ValueError(
            f"--task {task}: compress takes models of the tasks {', '.join(TASKS)}; "
            f"'adaprune prune --task {task}' cuts the others"
        )


def file_names(task: str) -> tuple[str, str]:
    """Return what ESPnet calls the config and the checkpoint of a task's model."""
    prefix = CLASSES[task][2]
    return f"{prefix}_train_config", f"{prefix}_model_file"


def inference_options(path: Path | None) -> dict[str, Any]:
    """Read an ESPnet decoding config (``conf/decode_asr.yaml``).

    Args:
        path: the config; None for none.

    Raises:
        ValueError: it cannot be read, or is no mapping.
    """
    if path is None:
        return {}
    try:
        options = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(
            f"--inference_config {path}: cannot be read ({first_line(error)})"
        ) from None
    if not isinstance(options, dict):
        raise ValueError(f"--inference_config {path}: not a mapping of options")
    return options


def sampling_rate(config: Mapping[str, Any]) -> int:
    """Return the sampling rate in Hz that a model reads.

    Args:
        config: its training config; ESPnet's own default is 16 kHz.
    """
    value = (config.get("frontend_conf") or {}).get("fs", 16000)
    if isinstance(value, str) and value.lower().endswith("k"):
        return round(1000 * float(value[:-1]))
    return int(value)
