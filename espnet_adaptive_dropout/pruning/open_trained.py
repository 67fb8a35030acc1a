"""Opens a trained experiment that is to be pruned, and checks that it can be."""

from __future__ import annotations

from pathlib import Path

import torch

from espnet_adaptive_dropout.experiments.checkpoint import unscale_logits
from espnet_adaptive_dropout.experiments.encoder_entry import ADAPTIVE, encoder_entry
from espnet_adaptive_dropout.experiments.experiment import (
    load_config,
    load_state,
    load_task,
)
from espnet_adaptive_dropout.pruning.checks import check_frozen, check_gates
from espnet_adaptive_dropout.pruning.trained import Trained


def open_trained(
    train_config: str | Path,
    model_file: str | Path,
    task: str = "asr",
    data: list[str] | None = None,
    device: str = "cpu",
    allow_unfrozen: bool = False,
) -> Trained:
    """Open a trained experiment.

    Args:
        train_config: config.yaml of the training.
        model_file: checkpoint of the training.
        task: name of a module of ``espnet2.tasks``.
        data: "path,name,type" triplets given by the user, or None.
        device: where a criterion may run the model, "cpu" or "cuda".
        allow_unfrozen: take a checkpoint from before the training froze its size.

    Raises:
        ValueError: config or checkpoint cannot be read or cannot be pruned.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("--ngpu 1: PyTorch finds no GPU; use --ngpu 0")
    config = load_config(train_config)
    option = encoder_entry(config).option
    if config[option] not in (ADAPTIVE, "conformer"):
        raise ValueError(
            f"{train_config}: '{option}: {config[option]}' cannot be pruned; "
            f"it must be {ADAPTIVE} or conformer"
        )
    state = load_state(model_file)
    trained = Trained(load_task(task), config, state, Path(model_file), data, device)
    unscale_logits(state, trained.options.logit_scale)
    check_frozen(trained, allow_unfrozen)
    check_gates(trained)
    return trained
