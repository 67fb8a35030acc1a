"""Writes a pruned experiment as an ESPnet experiment directory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import yaml

from espnet_adaptive_dropout.pruning.prune import Pruned
from espnet_adaptive_dropout.pruning.report import to_markdown

PLAN = "plan.yaml"


def write_experiment(
    pruned: Pruned, directory: Path, model_name: str, output_dir: Path
) -> None:
    """Fill ``directory`` with config, model, plan, certificate and report.

    Args:
        pruned: what to write.
        directory: an empty directory.
        model_name: file name of the model in it.
        output_dir: what ``directory`` will be called, for the config.

    Raises:
        OSError: it cannot be written.
    """
    config = {**pruned.config, "output_dir": str(output_dir)}
    _write_yaml(directory / "config.yaml", config)
    _write_yaml(directory / PLAN, pruned.plan.to_dict())
    write_json(directory / "certificate.json", pruned.certificate.to_dict())
    write_json(directory / "report.json", pruned.report)
    (directory / "report.md").write_text(to_markdown(pruned.report), encoding="utf-8")
    try:
        torch.save(pruned.state, directory / model_name)
    except RuntimeError as error:  # PyTorch's word for a full disk
        raise OSError(f"cannot write {directory / model_name}: {error}") from error


def write_json(path: Path, content: Any) -> None:
    """Write JSON for people and programs."""
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _write_yaml(path: Path, content: Any) -> None:
    with open(path, "w", encoding="utf-8") as file:
        yaml.safe_dump(content, file, sort_keys=False, allow_unicode=True)
