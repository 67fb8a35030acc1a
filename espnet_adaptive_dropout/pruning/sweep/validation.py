"""ESPnet's own validation pass over a model."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import math
import os
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from tqdm import tqdm

from espnet_adaptive_dropout.experiments.data import labelled_batches, triplets
from espnet_adaptive_dropout.experiments.experiment import first_line

_OPTION = (
    "--data PATH,NAME,TYPE for the speech and again for the text, for example "
    "--data dump/raw/dev/wav.scp,speech,sound --data dump/raw/dev/text,text,text"
)


def validate(
    task: type[Any],
    config: dict[str, Any],
    model: torch.nn.Module,
    data: list[str] | None = None,
    batch_size: int = 8,
    ngpu: int = 0,
) -> dict[str, float]:
    """Return loss, accuracy and whatever else the model reports in a training's log.

    Args:
        task: ESPnet task class.
        config: training config.
        model: model to score; it is on the GPU meanwhile if ``ngpu`` is 1.
        data: "path,name,type" triplets with a text; None takes the validation data
            of the config, in the training's own batches where their shapes are known.
        batch_size: number of utterances in a batch where the config has none.
        ngpu: 0 or 1.

    Returns:
        Name -> value, without values that are not finite.

    Raises:
        ValueError: the data cannot be read.
    """
    model.to("cuda" if ngpu else "cpu")
    try:
        with _named_errors("scored"):
            batches = _batches(task, config, data, batch_size, ngpu)
            values = _observe(model, batches, _trainer_options(config, ngpu))
    finally:
        model.to("cpu")
    return {name: value for name, value in values.items() if math.isfinite(value)}


def check_data(
    task: type[Any],
    config: dict[str, Any],
    data: list[str] | None = None,
    batch_size: int = 8,
) -> None:
    """Read one batch with the arguments of :func:`validate`, before any work is done.

    Raises:
        ValueError: the data cannot be read, or there are none.
    """
    with _named_errors("read"):
        first = next(iter(_batches(task, config, data, batch_size, ngpu=0)), None)
    if first is None:
        path = validation_files(config, data)[0]
        raise ValueError(f"{path}: no utterances in it to validate with")


@contextlib.contextmanager
def _named_errors(done: str) -> Iterator[None]:
    """Turn the errors of reading data into a ValueError of one line."""
    try:
        yield
    except (OSError, RuntimeError, AssertionError) as error:
        raise ValueError(
            f"the validation data cannot be {done}: {first_line(error)}"
        ) from None


def _observe(
    model: torch.nn.Module, batches: Iterable, options: Any
) -> dict[str, float]:
    """Return the means that ESPnet's trainer would log for the batches."""
    from espnet2.train.distributed_utils import DistributedOption
    from espnet2.train.reporter import Reporter
    from espnet2.train.trainer import Trainer

    reporter = Reporter()
    reporter.set_epoch(1)
    with reporter.observe("valid") as observed:
        Trainer.validate_one_epoch(
            model=model,
            iterator=tqdm(batches, "validation", unit="batch", leave=False),
            reporter=observed,
            options=options,
            distributed_option=DistributedOption(),
        )
    return {
        name: float(reporter.get_value("valid", name))
        for name in reporter.get_keys2("valid")
        if not name.startswith("final_")  # a copy, for choosing checkpoints
    }


def validation_files(config: dict[str, Any], data: list[str] | None) -> list[str]:
    """Return the files that list the data of :func:`validate`."""
    files = [path for path, _, _ in triplets(data, config, "valid", _OPTION)]
    return files + (_shape_files(config) if not data else [])


def _shape_files(config: dict[str, Any]) -> list[str]:
    """Return the shape files of the validation data, if all are there."""
    paths = config.get("valid_shape_file") or []
    return list(paths) if all(map(os.path.exists, paths)) else []


def _batches(
    task: type[Any],
    config: dict[str, Any],
    data: list[str] | None,
    batch_size: int,
    ngpu: int,
) -> Iterable:
    from espnet2.train.distributed_utils import DistributedOption

    source = triplets(data, config, "valid", _OPTION)
    if data or not _shape_files(config):
        return labelled_batches(task, config, source, batch_size)
    # The config of another ESPnet release may lack options that this one reads.
    defaults = vars(task.get_parser().parse_args([]))
    args = argparse.Namespace(**{**defaults, **config, "ngpu": ngpu})
    factory = task.build_iter_factory(args, DistributedOption(), mode="valid")
    return factory.build_iter(1, shuffle=False)


def _trainer_options(config: dict[str, Any], ngpu: int) -> Any:
    from espnet2.train.trainer import TrainerOptions

    names = [field.name for field in dataclasses.fields(TrainerOptions)]
    options = TrainerOptions(**{name: config.get(name) for name in names})
    options.ngpu = ngpu
    options.no_forward_run = False
    options.use_amp = bool(options.use_amp and ngpu)
    return options
