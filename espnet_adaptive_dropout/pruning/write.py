"""Writes a pruned experiment as an ESPnet experiment directory."""

from __future__ import annotations

from pathlib import Path

import torch

from espnet_adaptive_dropout.experiments.files import write_json, write_text, write_yaml
from espnet_adaptive_dropout.pruning.prune import Pruned
from espnet_adaptive_dropout.pruning.report import to_markdown

PLAN = "plan.yaml"
# What releases that did not list their files have written
FORMER = (
    *("config.yaml", PLAN, "certificate.json", "report.json", "report.md"),
    *("*.pth", "images", "made_from.json"),
)


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
    write_yaml(directory / "config.yaml", config)
    write_yaml(directory / PLAN, pruned.plan.to_dict())
    write_json(directory / "certificate.json", pruned.certificate.to_dict())
    write_json(directory / "report.json", pruned.report)
    write_text(directory / "report.md", to_markdown(pruned.report))
    try:
        torch.save(pruned.state, directory / model_name)
    except RuntimeError as error:  # PyTorch's word for a full disk
        raise OSError(f"cannot write {directory / model_name}: {error}") from error
