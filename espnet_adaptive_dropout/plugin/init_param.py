"""Prepares ``--init_param`` for a training with adaptive dropout.

Gates and clock are left out: a new training starts them new. And the weights are
taken out of a trainer's ``checkpoint.pth``, which ESPnet does not look into. ESPnet's
Lightning trainer does nothing with the option: for our encoders, it is done here.
"""

from __future__ import annotations

import argparse
import logging
import os
from pathlib import Path

import torch

from espnet_adaptive_dropout.experiments.checkpoint import is_gate_weight
from espnet_adaptive_dropout.experiments.encoder_entry import (
    ADAPTIVE,
    COMPACT,
    EXPORTED,
    encoder_entry,
)
from espnet_adaptive_dropout.experiments.experiment import load_checkpoint, load_state
from espnet_adaptive_dropout.experiments.files import replacing


def without_old_gates(
    init_param: list[str] | None,
    arguments: list[str],
    output_dir: str | None = None,
) -> list[str]:
    """Exclude the weights of gates and size control from ``--init_param``.

    Args:
        init_param: what ESPnet's parser read from ``arguments``:
            "path:source:target:excluded" items.
        arguments: a training command line.
        output_dir: directory of the training, to which weights that ESPnet could not
            read are written as ``init_param1.pth``, ...

    Returns:
        The command line with the names of such weights among the excluded ones.

    Raises:
        ValueError: a checkpoint cannot be read, or there is no ``output_dir``.
        OSError: ``output_dir`` cannot be written to.
    """
    if not init_param:
        return arguments
    items = _all_prepared(init_param, output_dir)
    kept: list[str] = []
    skipping = False
    for argument in arguments:
        if argument.startswith("--"):
            skipping = argument.split("=")[0] == "--init_param"
        if not skipping:
            kept.append(argument)
    return kept + ["--init_param", *items]


def load_init_param(model: torch.nn.Module, args: argparse.Namespace) -> None:
    """Do what ESPnet's own trainer does with ``--init_param``.

    Args:
        model: with an encoder of this plugin; one with another is left alone.
        args: what ``model`` was built from.

    Raises:
        ValueError: a checkpoint cannot be read.
        OSError: ``output_dir`` cannot be written to.
    """
    ours = getattr(args, encoder_entry(vars(args)).option, None)
    if not args.init_param or ours not in (ADAPTIVE, COMPACT, EXPORTED):
        return
    from espnet2.torch_utils.load_pretrained_model import load_pretrained_model

    for item in _all_prepared(args.init_param, args.output_dir):
        # The only logger whose level the Lightning trainer sets
        logging.getLogger("lightning").info("Loading pretrained params from %s", item)
        load_pretrained_model(item, model, args.ignore_init_mismatch)


def _all_prepared(init_param: list[str], output_dir: str | None) -> list[str]:
    return [
        _prepared(item, output_dir, number) for number, item in enumerate(init_param, 1)
    ]


def _prepared(item: str, output_dir: str | None, number: int) -> str:
    path, source, target, excluded = (item.split(":") + ["", "", ""])[:4]
    try:
        readable, gates = _look_at(path)
        if not readable:
            path = _write_weights(path, output_dir, number)
    except ValueError as error:
        raise ValueError(f"--init_param {error}") from None
    if readable and not gates:
        return item
    names = ",".join(filter(None, [excluded, *gates]))
    return f"{path}:{source}:{target}:{names}".rstrip(":")


def _look_at(path: str) -> tuple[bool, list[str]]:
    """Whether ESPnet finds the weights in a file, and the gates' among them."""
    readable = not isinstance(load_checkpoint(path).get("model"), dict)
    return readable, [key for key in load_state(path) if is_gate_weight(key)]


def _write_weights(path: str, output_dir: str | None, number: int) -> str:
    """Write the weights in a trainer's checkpoint to a file that ESPnet can read."""
    if output_dir is None:
        raise ValueError(f"{path} is a trainer's checkpoint: set --output_dir")
    state = load_state(path)
    Path(output_dir).mkdir(parents=True, exist_ok=True)
    own_file = os.path.join(output_dir, f"init_param{number}.pth")
    with replacing(own_file) as partial:
        torch.save(state, partial)
    return own_file
