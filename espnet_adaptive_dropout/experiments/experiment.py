"""Opens ESPnet experiments: a task, a config.yaml and a checkpoint."""

from __future__ import annotations

import argparse
import copy
import datetime
import importlib
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy
import torch
import yaml
from typeguard import TypeCheckError

from espnet_adaptive_dropout.experiments.checkpoint import (
    damaged_part,
    first_not_finite,
    in_single_precision,
)
from espnet_adaptive_dropout.experiments.encoder_entry import encoder_entry

# The C parser is ten times faster on the long token lists in ESPnet's configs.
_YAML_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load_task(name: str) -> type:
    """Return the task class of ``espnet2.tasks.<name>``, with our classes known.

    Raises:
        ValueError: there is no such task.
    """
    from espnet2.tasks.abs_task import AbsTask

    try:
        module = importlib.import_module(f"espnet2.tasks.{name}")
    except ModuleNotFoundError as error:
        # A missing dependency of the module is another matter.
        if not f"espnet2.tasks.{name}".startswith(error.name or ""):
            raise ValueError(f"--task {name}: needs {error.name}: {error}") from None
        raise ValueError(f"--task {name}: ESPnet has no espnet2.tasks.{name}") from None
    for value in vars(module).values():
        is_task = isinstance(value, type) and issubclass(value, AbsTask)
        if is_task and value is not AbsTask and value.__module__ == module.__name__:
            return value
    raise ValueError(f"--task {name}: espnet2.tasks.{name} defines no task")


def load_config(path: str | Path) -> dict[str, Any]:
    """Read the config.yaml of an experiment.

    Raises:
        ValueError: it is missing, is not YAML, or is not a training config.
    """
    advice = "give the config.yaml that ESPnet wrote into the experiment directory"
    try:
        if zipfile.is_zipfile(path):
            raise ValueError(f"{path}: a model file, not a config; {advice}")
        text = Path(path).read_text(encoding="utf-8")
        config = yaml.load(text, Loader=_YAML_LOADER)
    except OSError as error:
        raise ValueError(f"{path}: cannot read the config ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise ValueError(f"{path}: this is not YAML; {advice}") from None
    if not text.strip():
        raise ValueError(f"{path}: is empty; {advice}")
    option = encoder_entry(config).option if isinstance(config, dict) else "encoder"
    if not isinstance(config, dict) or option not in config:
        raise ValueError(f"{path}: no '{option}' in it; {advice}")
    if not isinstance(config[option], str):
        raise ValueError(f"{path}: '{option}: {config[option]}' names no encoder")
    return config


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read the content of a model file or of a trainer's checkpoint.

    Raises:
        ValueError: the file is missing, damaged or holds no mapping.
    """
    if Path(path).suffix in (".yaml", ".yml"):
        raise ValueError(f"{path}: a config, not a model file; give the .pth file")
    try:
        mapped = zipfile.is_zipfile(path)  # not so in files of PyTorch before 1.6
        with open(path, "rb"):
            pass
    except OSError as error:
        raise ValueError(f"{path}: cannot read the model ({error.strerror})") from None
    try:
        with torch.serialization.safe_globals(_harmless()):
            content = torch.load(
                path, map_location="cpu", weights_only=True, mmap=mapped
            )
        damaged = damaged_part(path)
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise ValueError(
            f"{path}: not a PyTorch checkpoint, or cut short ({reason}); copy it again"
        ) from None
    if damaged is not None:
        raise ValueError(
            f"{path}: damaged, the checksum of {damaged} is wrong; copy it again"
        )
    if not isinstance(content, dict):
        raise ValueError(f"{path}: holds no model weights")
    return content


def _harmless() -> list:
    """What PyTorch must accept beside tensors for the checkpoint.pth of ESPnet 202511.

    The reporter's state has durations and NumPy's scalars.
    """
    core = getattr(numpy, "_core", None) or numpy.core
    kinds = [type(numpy.dtype(kind)) for kind in ("f", "d", "i", "l", "?")]
    return [datetime.timedelta, core.multiarray.scalar, numpy.dtype, *kinds]


def load_state(path: str | Path) -> dict[str, torch.Tensor]:
    """Read the weights out of a model file.

    Files of PyTorch before 1.6, a trainer's checkpoint.pth (the weights are its
    ``model``) and those of other trainers (``module``) are understood too.

    Returns:
        The weights by name, in single precision.

    Raises:
        ValueError: the file is missing or damaged, holds no weights, or one of them
            is NaN or infinite.
    """
    state = load_checkpoint(path)
    for wrapper in ("model", "module"):
        if isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not state or not all(map(torch.is_tensor, state.values())):
        raise ValueError(f"{path}: holds no model weights")
    state = in_single_precision(state)
    bad = first_not_finite(state)
    if bad is not None:
        raise ValueError(
            f"{path}: {bad} has values that are NaN or infinite; take a checkpoint "
            f"from before the training diverged"
        )
    return state


def build_model(task: type[Any], config: dict[str, Any]) -> torch.nn.Module:
    """Build the model of a config, not loaded, in evaluation mode.

    Raises:
        ValueError: ESPnet or one of our encoders refuses the config.
    """
    args = argparse.Namespace(**copy.deepcopy(config))
    try:
        return task.build_model(args).eval()
    except (TypeError, AssertionError, KeyError, RuntimeError, TypeCheckError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise ValueError(
            f"ESPnet cannot build the model of the config ({reason}); was it changed "
            f"after the training?"
        ) from error
    except FileNotFoundError as error:
        raise ValueError(
            f"{error.filename}: named in the config but not there; run from the "
            f"directory the model was trained in"
        ) from None
    except AttributeError as error:
        missing = re.match("'Namespace' object has no attribute '(.*)'", str(error))
        if missing is None:
            raise
        raise ValueError(
            f"the config has no '{missing[1]}'; give the config.yaml that ESPnet wrote "
            f"into the experiment directory, not one of conf/, and its --task"
        ) from None


def load_weights(
    model: torch.nn.Module, state: dict[str, torch.Tensor], what: str
) -> None:
    """Give ``model`` the weights of ``state`` without a copy.

    Raises:
        ValueError: names or shapes differ; the message begins with ``what``.
    """
    try:
        model.load_state_dict(state, assign=True)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:]]
        raise ValueError(
            f"{what}: config and checkpoint do not match: {' '.join(lines)[:300]}"
        ) from None


def open_model(
    task: str | type, train_config: str | Path, model_file: str | Path
) -> tuple[dict[str, Any], torch.nn.Module]:
    """The config and the model of an experiment, loaded, in evaluation mode.

    Args:
        task: ESPnet task class, or the name of its module.
        train_config: its config.yaml.
        model_file: its checkpoint.

    Raises:
        ValueError: one of them cannot be read, or they do not match.
    """
    config = load_config(train_config)
    state = load_state(model_file)
    task = load_task(task) if isinstance(task, str) else task
    model = build_model(task, config)
    load_weights(model, state, str(model_file))
    return config, model
