"""Opens ESPnet's inference classes with a model."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from espnet_adaptive_dropout.compress.tasks import CLASSES, check_task, file_names
from espnet_adaptive_dropout.experiments.experiment import (
    first_line,
    load_config,
    load_state,
    load_weights,
)


def open_inference(
    task: str,
    config_file: Path,
    model_file: Path,
    options: Mapping[str, Any] | None = None,
    device: str = "cpu",
) -> Any:
    """Return ESPnet's inference class of a task with a model.

    Args:
        task: name of a module of ``espnet2.tasks``.
        config_file: config.yaml of the model.
        model_file: its checkpoint.
        options: arguments for the class; without them its search has a beam of 1.
        device: "cpu" or "cuda".

    Raises:
        ValueError: ESPnet cannot open the model or refuses an option.
    """
    check_task(task)
    module, name, _ = CLASSES[task]
    kind = getattr(importlib.import_module(f"espnet2.bin.{module}"), name)
    config_name, model_name = file_names(task)
    files = {config_name: str(config_file), model_name: None}
    chosen = {**_usual_options(task, load_config(config_file)), **(options or {})}
    known = inspect.signature(kind).parameters
    chosen = {name: value for name, value in chosen.items() if name in known}
    state = None
    if _quantizes(chosen):  # which needs the weights at once
        files[model_name] = str(model_file)
    else:  # without the copies of ESPnet's own loading
        state = load_state(model_file)
    try:
        inference = kind(**files, **chosen, device=device)
    except (TypeError, KeyError, RuntimeError, AssertionError) as error:
        raise ValueError(
            f"ESPnet's {name} cannot open the model ({first_line(error)[:200]}); "
            f"does it need an option in --inference_config?"
        ) from error
    if state is not None:
        moved = {key: value.to(device) for key, value in state.items()}
        load_weights(model_of(inference), moved, str(model_file))
    return inference


def model_of(inference: Any) -> Any:
    """Return the model of one of ESPnet's inference classes."""
    return next(
        value
        for value in vars(inference).values()
        if isinstance(value, torch.nn.Module) and hasattr(value, "encode")
    )


def is_ctc_alone(task: str, config: Mapping[str, Any]) -> bool:
    """Whether a model recognises by CTC alone.

    Args:
        task: name of a module of ``espnet2.tasks``.
        config: training config of the model.
    """
    alone = ctc_weight(config) == 1.0 or not config.get("decoder")
    return task in ("asr", "slu") and alone


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep back what ESPnet logs of every utterance, and what it prints."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)


def ctc_weight(config: Mapping[str, Any]) -> float:
    """Return the weight of the CTC loss of a model, from its training config."""
    return float((config.get("model_conf") or {}).get("ctc_weight", 0.5))


def _usual_options(task: str, config: Mapping[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = {"beam_size": 1}
    if is_ctc_alone(task, config):
        options["ctc_weight"] = 1.0
    elif ctc_weight(config) == 0.0 or config.get("decoder") == "transducer":
        options["ctc_weight"] = 0.0
    # st_inference fails without the first, and without the second leaves out the CTC.
    if config.get("decoder") == "transducer":
        options["transducer_conf"] = {}
    if (config.get("model_conf") or {}).get("st_mtlalpha") == 1.0:
        options["ctc_greedy"] = True
    return options


def _quantizes(options: Mapping[str, Any]) -> bool:
    """Whether ESPnet quantises the model when it opens it."""
    names = [name for name in options if name.startswith("quantize")]
    return any(options[name] for name in names)
