"""State of a training at other widths: weights and Adam's moments, cut or widened."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

import torch
import yaml

from espnet_adaptive_dropout.experiments.experiment import (
    build_model,
    load_config,
    load_task,
)
from espnet_adaptive_dropout.pruning.plan import PruningPlan
from espnet_adaptive_dropout.units.surgery import Cut, find_cuts
from espnet_adaptive_dropout.units.table import UnitTable

State = dict[str, torch.Tensor]
Checkpoint = dict[str, Any]

PREFIX = "encoder."


def load_checkpoint(path: Path) -> Checkpoint:
    """Read ESPnet's checkpoint.pth, with the state of optimizer and scheduler."""
    return torch.load(path, map_location="cpu", weights_only=True)


def new_model(config_path: Path) -> torch.nn.Module:
    """Model of an experiment, newly initialised."""
    return build_model(load_task("asr"), load_config(config_path))


def kept_units(full: torch.nn.Module, cut_dir: Path) -> torch.Tensor:
    """Units of the full-width encoder that a pruned experiment has, bool (units,)."""
    text = (cut_dir / "plan.yaml").read_text(encoding="utf-8")
    return PruningPlan.from_dict(yaml.safe_load(text)).keep(UnitTable(full.encoder))


def cuts(full: torch.nn.Module, keep: torch.Tensor) -> dict[str, Cut]:
    """How the tensors of the full-width model are cut, by name.

    Args:
        full: model of full width.
        keep: units of its encoder that stay, bool (units,).
    """
    return find_cuts(full.state_dict(), UnitTable(full.encoder), keep, PREFIX)


def widen(state: State, how: dict[str, Cut], full: State) -> State:
    """Narrow tensors -> tensors of the shapes of ``full``, zero where they were cut."""
    return {
        name: how[name].widen(tensor, torch.zeros_like(full[name], dtype=tensor.dtype))
        if name in how
        else tensor
        for name, tensor in state.items()
    }


def resized(
    checkpoint: Checkpoint,
    old: torch.nn.Module,
    new: torch.nn.Module,
    resize: Callable[[State], State],
) -> Checkpoint:
    """Checkpoint of a training that goes on with tensors of other shapes.

    The epoch, the moments and the scheduler's step stay. The validation scores are
    dropped, so that ESPnet never averages over checkpoints of both widths.

    Args:
        checkpoint: content of the checkpoint.pth that ESPnet's trainer wrote.
        old: model of the checkpoint.
        new: model that goes on; moments take the shapes of its parameters.
        resize: maps name -> tensor dicts of the old shapes to the new ones.

    Raises:
        ValueError: there is more than one optimizer or parameter group.
    """
    optimizer = checkpoint["optimizers"][0]
    groups = optimizer["param_groups"]
    if len(checkpoint["optimizers"]) != 1 or len(groups) != 1:
        raise ValueError("a training with several parameter groups cannot be resized")
    # Optimizers number parameters in the order of named_parameters().
    names = dict(zip(groups[0]["params"], (name for name, _ in old.named_parameters())))
    by_name = {names[number]: value for number, value in optimizer["state"].items()}
    shapes = {name: parameter.shape for name, parameter in new.named_parameters()}
    group = {**groups[0], "params": list(range(len(shapes)))}
    state = _resized_moments(by_name, shapes, resize)
    return {
        **checkpoint,
        "model": resize(checkpoint["model"]),
        "reporter": dict(epoch=checkpoint["reporter"]["epoch"], stats={}),
        "optimizers": [dict(state=state, param_groups=[group])],
    }


def _resized_moments(
    state: dict[str, dict[str, Any]],
    shapes: dict[str, torch.Size],
    resize: Callable[[State], State],
) -> dict[int, dict[str, Any]]:
    """Optimizer state by parameter name -> by number, in other shapes."""
    moments: dict[str, State] = {}
    others: dict[str, dict[str, Any]] = {name: {} for name in state}
    for name, values in state.items():
        for key, value in values.items():
            if torch.is_tensor(value) and value.dim() > 0:
                moments.setdefault(key, {})[name] = value
            else:
                others[name][key] = value
    moments = {key: resize(tensors) for key, tensors in moments.items()}
    return {
        number: {
            **others[name],
            **{key: tensors[name].view(shape) for key, tensors in moments.items()},
        }
        for number, (name, shape) in enumerate(shapes.items())
        if name in others  # parameters that no step has used have no state
    }
