"""A training's state at other widths: weights and Adam's moments, cut or widened.

Everything follows from one trick: the flat index of every entry of a full-width
tensor is cut like a weight, which tells where each entry of the narrow one comes from.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict

import torch
import yaml

from espnet_adaptive_dropout.experiments.experiment import (
    build_model,
    load_config,
    load_task,
)
from espnet_adaptive_dropout.pruning.plan import PruningPlan
from espnet_adaptive_dropout.pruning.surgery import cut_weights
from espnet_adaptive_dropout.units.table import UnitTable

State = Dict[str, torch.Tensor]
Checkpoint = Dict[str, Any]

PREFIX = "encoder."


def load_checkpoint(path: Path) -> Checkpoint:
    """Read ESPnet's checkpoint.pth, with the state of optimizer and scheduler."""
    return torch.load(path, map_location="cpu", weights_only=True)


def load_plan(cut_dir: Path) -> PruningPlan:
    """Which units of the full width a pruned experiment has kept."""
    text = (cut_dir / "plan.yaml").read_text(encoding="utf-8")
    return PruningPlan.from_dict(yaml.safe_load(text))


def model_of(config_path: Path) -> torch.nn.Module:
    """The model of an experiment, newly initialised."""
    return build_model(load_task("asr"), load_config(config_path))


def sources(full: torch.nn.Module, plan: PruningPlan) -> State:
    """For every tensor of the narrow model, where its entries lie in the full one.

    Args:
        full: model of full width.
        plan: what was kept.

    Returns:
        Name -> flat indices into the full-width tensor, in the narrow shape.
    """
    table = UnitTable(full.encoder)
    places = {
        name: torch.arange(tensor.numel()).view(tensor.shape)
        for name, tensor in full.state_dict().items()
    }
    return cut_weights(places, table, plan.keep(table), PREFIX)


def gather(state: State, where: State) -> State:
    """Full-width tensors -> narrow ones; names that ``where`` lacks stay."""
    return {
        name: tensor.flatten()[where[name]] if name in where else tensor
        for name, tensor in state.items()
    }


def scatter(state: State, where: State, full: State) -> State:
    """Narrow tensors -> full-width ones of the shapes of ``full``, zeros elsewhere."""
    wide = {}
    for name, tensor in state.items():
        target = torch.zeros(full[name].shape, dtype=tensor.dtype)
        target.view(-1)[where[name].flatten()] = tensor.flatten()
        wide[name] = target
    return wide


def parameter_shapes(model: torch.nn.Module) -> Dict[str, torch.Size]:
    """Shapes by name, in the order in which ESPnet's optimizers number parameters."""
    return {name: parameter.shape for name, parameter in model.named_parameters()}


def moved(
    checkpoint: Checkpoint,
    old: Dict[str, torch.Size],
    new: Dict[str, torch.Size],
    move: Callable[[State], State],
) -> Checkpoint:
    """A checkpoint whose tensors have been given other shapes.

    The history of the training's scores is dropped, so that ESPnet never averages
    over checkpoints of both widths; the epoch, the optimizer's moments and the
    scheduler's clock stay.

    Args:
        checkpoint: of ESPnet's trainer.
        old: parameters of its model, see :func:`parameter_shapes`.
        new: those of the new one; moments take their shapes, which may differ from
            those in a checkpoint.
        move: maps name -> tensor dicts of the old shapes to the new ones.

    Raises:
        ValueError: there is more than one optimizer or parameter group.
    """
    optimizer = checkpoint["optimizers"][0]
    groups = optimizer["param_groups"]
    if len(checkpoint["optimizers"]) != 1 or len(groups) != 1:
        raise ValueError("a training with several parameter groups cannot be carried")
    names = dict(zip(groups[0]["params"], old))
    state = _moved_moments(
        {names[number]: value for number, value in optimizer["state"].items()},
        new,
        move,
    )
    return {
        **checkpoint,
        "model": move(checkpoint["model"]),
        "reporter": dict(epoch=checkpoint["reporter"]["epoch"], stats={}),
        "optimizers": [
            dict(
                state=state,
                param_groups=[{**groups[0], "params": list(range(len(new)))}],
            )
        ],
    }


def _moved_moments(
    state: Dict[str, Dict[str, Any]],
    new: Dict[str, torch.Size],
    move: Callable[[State], State],
) -> Dict[int, Dict[str, Any]]:
    """An optimizer's state by parameter name -> by number, of other shapes."""
    moments: Dict[str, State] = {}
    others: Dict[str, Dict[str, Any]] = {name: {} for name in state}
    for name, values in state.items():
        for key, value in values.items():
            if torch.is_tensor(value) and value.dim() > 0:
                moments.setdefault(key, {})[name] = value
            else:
                others[name][key] = value
    moments = {key: move(tensors) for key, tensors in moments.items()}
    return {
        number: {
            **others[name],
            **{key: tensors[name].view(shape) for key, tensors in moments.items()},
        }
        for number, (name, shape) in enumerate(new.items())
        if name in others  # what nobody reads is never updated
    }
