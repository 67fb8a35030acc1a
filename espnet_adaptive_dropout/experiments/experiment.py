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
from espnet_adaptive_dropout.experiments.large_tensors import return_small_tensors

# The C parser is ten times faster on the long token lists in ESPnet's configs.
_YAML_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or the name of its class."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def load_task(name: str) -> type:
    """Return the task class of ``espnet2.tasks.<name>``.

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
        ValueError: the file is missing, is not YAML, or is not a training config.
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
        ValueError: the file is missing, is damaged, or holds no weights.
    """
    if Path(path).suffix in (".yaml", ".yml"):
        raise ValueError(f"{path}: a config, not a model file; give the .pth file")
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise ValueError(f"{path}: cannot read the model ({error.strerror})") from None
    try:
        content = _read(path)
        damaged = damaged_part(path)
    except Exception as error:
        raise ValueError(
            f"{path}: not a PyTorch checkpoint, or cut short "
            f"({first_line(error)[:120]}); copy it again"
        ) from None
    if damaged is not None:
        raise ValueError(
            f"{path}: damaged, the checksum of {damaged} is wrong; copy it again"
        )
    if not isinstance(content, dict):
        raise ValueError(f"{path}: holds no model weights")
    return content


def _read(path: str | Path) -> Any:
    """Read a file of PyTorch; where possible, its tensors are mapped, not copied."""
    mapped = zipfile.is_zipfile(path)  # not so in files of PyTorch before 1.6
    with torch.serialization.safe_globals(_reporter_types()):
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)


def _reporter_types() -> list:
    """Return the types, other than tensors, in a checkpoint.pth of ESPnet 202511.

    The state of the reporter has durations and NumPy scalars.
    """
    core = getattr(numpy, "_core", None) or numpy.core
    kinds = [type(numpy.dtype(kind)) for kind in ("f", "d", "i", "l", "?")]
    return [datetime.timedelta, core.multiarray.scalar, numpy.dtype, *kinds]


def load_state(path: str | Path) -> dict[str, torch.Tensor]:
    """Read the weights out of a model file.

    The file may be one of PyTorch before 1.6, the checkpoint.pth of ESPnet's trainer
    (the weights are under ``model``), or one of other trainers (``module``).

    Returns:
        The weights by name, in single precision.

    Raises:
        ValueError: the file is missing or damaged, holds no weights, or one of them
            is NaN or infinite.
    """
    state = _weights(load_checkpoint(path))
    if not state or not all(map(torch.is_tensor, state.values())):
        raise ValueError(f"{path}: holds no model weights")
    bad = first_not_finite(state)
    if bad is not None:
        raise ValueError(
            f"{path}: {bad} has values that are NaN or infinite; take a checkpoint "
            f"from before the training diverged"
        )
    # All of the mapped file is in memory now. Of a new mapping only what is used will.
    del state
    return in_single_precision(_weights(_read(path)))


def _weights(content: dict[str, Any]) -> dict[str, Any]:
    """Return the weights among what a model file or a trainer's checkpoint holds."""
    for wrapper in ("model", "module"):
        if isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    return content


def build_model(task: type[Any], config: dict[str, Any]) -> torch.nn.Module:
    """Build the model of a config with initial weights, in evaluation mode.

    Raises:
        ValueError: ESPnet or one of our encoders refuses the config, or a package is
            missing.
    """
    args = argparse.Namespace(**copy.deepcopy(config))
    try:
        return task.build_model(args).eval()
    except (TypeError, AssertionError, KeyError, RuntimeError, TypeCheckError) as error:
        raise ValueError(
            f"ESPnet cannot build the model of the config ({first_line(error)[:200]}); "
            f"was it changed after the training?"
        ) from error
    except ImportError as error:
        raise ValueError(
            f"ESPnet needs a package for the model of the config that is not installed "
            f"({first_line(error)[:200]})"
        ) from None
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
    """Load ``state`` into ``model`` without copying the tensors.

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
    return_small_tensors()  # initial weights, and what earlier work has left


def open_model(
    task: str | type, train_config: str | Path, model_file: str | Path
) -> tuple[dict[str, Any], torch.nn.Module]:
    """Return the config and the trained model of an experiment, in evaluation mode.

    Args:
        task: ESPnet task class, or the name of its module.
        train_config: config.yaml of the experiment.
        model_file: checkpoint of the experiment.

    Raises:
        ValueError: a file cannot be read, or config and checkpoint do not match.
    """
    config = load_config(train_config)
    state = load_state(model_file)
    task = load_task(task) if isinstance(task, str) else task
    model = build_model(task, config)
    load_weights(model, state, str(model_file))
    return config, model
