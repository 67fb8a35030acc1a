"""A tiny stock model of any task, as an experiment and as a packed file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from support.experiments import write_config
from support.packed_models import MODEL
from support.tiny_task_configs import TASKS
from support.tiny_tasks import training_arguments

from espnet_adaptive_dropout.compress.tasks import file_names
from espnet_adaptive_dropout.experiments.experiment import load_task


def write_stock(name: str, data: Path, experiment: Path) -> Any:
    """Write an untrained model of a task with ESPnet's Conformer.

    Its letters are likely, so that something is recognised.

    Args:
        name: one of ``TASKS``.
        data: data of ``tiny_tasks.write_data``.
        experiment: new directory.

    Returns:
        The arguments of its training.
    """
    experiment.mkdir(parents=True)
    tiny = TASKS[name]
    task: Any = load_task(tiny.task)
    args = task.get_parser().parse_args(training_arguments(tiny, data, experiment))
    args.encoder, args.model = "conformer", "espnet"
    del args.encoder_conf["adaptive_dropout_conf"]
    torch.manual_seed(0)
    model = task.build_model(args)
    letters = [args.token_list.index(letter) for letter in "abc"]
    for path, layer in model.named_modules():
        if path.endswith((".output_layer", ".ctc_lo", ".lin_out")):
            with torch.no_grad():
                layer.bias[letters] += 5.0
    write_config(experiment, args)
    torch.save(model.state_dict(), experiment / MODEL)
    return args


def write_packed(name: str, data: Path, root: Path) -> Path:
    """Pack such a model as the recipe of its task does; return the file."""
    from espnet2.main_funcs.pack_funcs import pack

    config, model = file_names(TASKS[name].task)
    write_stock(name, data, root / "exp/model")
    here = os.getcwd()
    os.chdir(root)
    try:
        pack(
            files={model: f"exp/model/{MODEL}"},
            yaml_files={config: "exp/model/config.yaml"},
            option=[],
            outpath="model.zip",
        )
    finally:
        os.chdir(here)
    return root / "model.zip"
