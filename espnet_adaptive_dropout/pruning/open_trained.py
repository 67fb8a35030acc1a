"""Opens a trained experiment that is to be pruned, and checks that it can be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from espnet_adaptive_dropout.experiments.checkpoint import unscale_logits
from espnet_adaptive_dropout.experiments.encoder_entry import (
    COMPACT_DECODER,
    StackEntry,
    adaptive_entries,
    decoder_entry,
    encoder_entry,
)
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
    of: str | None = None,
) -> Trained:
    """Open a trained experiment.

    Args:
        train_config: config.yaml of the training.
        model_file: checkpoint of the training.
        task: name of a module of ``espnet2.tasks``.
        data: "path,name,type" triplets given by the user, or None.
        device: where a criterion may run the model, "cpu" or "cuda".
        allow_unfrozen: take a checkpoint from before the training froze its size.
        of: what a target counts, one of ``part.OF``; None: what was trained with
            adaptive dropout, or the encoder if that is both or none.

    Raises:
        ValueError: config or checkpoint cannot be read or cannot be pruned.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("--ngpu 1: PyTorch finds no GPU; use --ngpu 0")
    config = load_config(train_config)
    of = _counted(config, of)
    for entry in (encoder_entry(config), decoder_entry(config)):
        if of in (entry.kind, "model"):
            _check_class(train_config, config, entry)
    state = load_state(model_file)
    model_file = Path(model_file)
    trained = Trained(load_task(task), config, state, model_file, data, device, of)
    unscale_logits(state, trained.options.logit_scale)
    for part in trained.parts:
        check_frozen(part, model_file, allow_unfrozen)
        check_gates(part, model_file)
    return trained


def _counted(config: dict[str, Any], of: str | None) -> str:
    """Return what a target counts.

    Raises:
        ValueError: ``of`` is not what encoder and decoder were trained to together.
    """
    adaptive = adaptive_entries(config)
    confs = [entry.adaptive_conf(config) or {} for entry in adaptive]
    if confs and all(conf.get("of") == "model" for conf in confs):
        if of not in (None, "model"):
            raise ValueError(
                f"--of {of}: encoder and decoder were trained to one target (of: "
                f"model) and can only be cut together, --of model"
            )
        return "model"
    if of is None:
        kinds = [entry.kind for entry in adaptive]
        of = "decoder" if kinds == ["decoder"] else "encoder"
    return of


def _check_class(
    train_config: str | Path, config: dict[str, Any], entry: StackEntry
) -> None:
    """Refuse an encoder or a decoder of another class, with a ValueError."""
    name = config.get(entry.option)
    if name in (entry.adaptive, entry.stock):
        return
    # At full width the compact decoder has the weights of ESPnet's.
    if name == COMPACT_DECODER and "widths" not in entry.options(config):
        return
    raise ValueError(
        f"{train_config}: '{entry.option}: {name}' cannot be pruned; it must be "
        f"{entry.adaptive} or {entry.stock}"
    )
