"""Prepares ``--init_param`` for a training with adaptive dropout.

Gates and clock are excluded: a new training starts with its own. The weights in a
trainer's ``checkpoint.pth``, which ESPnet does not find, are written to a file of
their own. ESPnet's Lightning trainer ignores the option: for the encoders and decoders
of this plugin, the weights are loaded here.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import torch

from espnet_adaptive_dropout.experiments.checkpoint import (
    is_gate_weight,
    write_weights,
)
from espnet_adaptive_dropout.experiments.encoder_entry import (
    PLUGIN_CLASSES,
    decoder_entry,
    encoder_entry,
)
from espnet_adaptive_dropout.experiments.experiment import load_checkpoint, load_state


def without_old_gates(
    init_param: list[str] | None,
    arguments: list[str],
    output_dir: str | None = None,
) -> list[str]:
    """Exclude the weights of gates and size control from ``--init_param``.

    Args:
        init_param: "path:source:target:excluded" items that ESPnet's parser read from
            ``arguments``.
        arguments: command line of a training.
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
    """Load ``--init_param`` as ESPnet's own trainer does.

    Args:
        model: ESPnet model; one with nothing of this plugin is left alone.
        args: arguments of the training.

    Raises:
        ValueError: a checkpoint cannot be read.
        OSError: ``output_dir`` cannot be written to.
    """
    entries = (encoder_entry(vars(args)), decoder_entry(vars(args)))
    ours = {getattr(args, entry.option, None) for entry in entries}
    if not args.init_param or not ours & PLUGIN_CLASSES:
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
        gates = [key for key in load_state(path) if is_gate_weight(key)]
        is_trainers = isinstance(load_checkpoint(path).get("model"), dict)
        if is_trainers:
            path = _write_weights(path, output_dir, number)
    except ValueError as error:
        raise ValueError(f"--init_param {error}") from None
    if not is_trainers and not gates:
        return item
    names = ",".join(filter(None, [excluded, *gates]))
    return f"{path}:{source}:{target}:{names}".rstrip(":")


def _write_weights(path: str, output_dir: str | None, number: int) -> str:
    """Write the weights in a trainer's checkpoint to a file that ESPnet can read."""
    if output_dir is None:
        raise ValueError(f"{path} is a trainer's checkpoint: set --output_dir")
    own_file = Path(output_dir, f"init_param{number}.pth")
    own_file.parent.mkdir(parents=True, exist_ok=True)
    write_weights(load_state(path), own_file)
    return str(own_file)
