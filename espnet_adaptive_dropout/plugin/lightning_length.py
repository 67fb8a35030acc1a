"""Completes the options of a training with ESPnet2's Lightning trainer.

That trainer reads most of its settings from ``lightning_conf``. They are translated
here into the options of ESPnet's own trainer.
"""

from __future__ import annotations

import argparse
import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from espnet_adaptive_dropout.control.config import AdaptiveDropoutConfig
from espnet_adaptive_dropout.plugin.earlier_training import epoch_ends
from espnet_adaptive_dropout.plugin.epoch_length import steps_per_epoch
from espnet_adaptive_dropout.plugin.selection import (
    averaged,
    check_criteria,
    last_to_freeze,
)
from espnet_adaptive_dropout.plugin.training_length import (
    adaptive_configs,
    complete_options,
)

# Settings with which the number of batches is not known before the training.
_UNKNOWN_LENGTH = ("max_time", "overfit_batches", "min_epochs", "min_steps")


def complete_lightning(args: argparse.Namespace) -> None:
    """Set what ``adaptive_dropout_conf`` lacks for this training.

    Args:
        args: arguments of ``espnet2.bin.lightning_train``, changed in place. Those of
            another encoder are left alone.

    Raises:
        ValueError: the length cannot be worked out, the training selects checkpoints
            from before the freeze, or the training in ``output_dir``, which it
            resumes, was started for another size.
    """
    configs = adaptive_configs(args)
    if not configs:
        return
    conf = args.lightning_conf or {}
    if conf.get("strategy", "ddp") != "ddp":
        raise ValueError(
            f"lightning_conf.strategy={conf['strategy']}: adaptive dropout needs the "
            f"whole model in every process, strategy: ddp"
        )
    view = _as_espnet2(args, conf)
    view.max_epoch, steps = _length(conf, steps_per_epoch(view))
    for entry, config in configs:
        config.total_steps = config.total_steps or steps
        per_epoch = math.ceil(steps / view.max_epoch)
        added, _ = complete_options(view, entry, config, per_epoch)
        adaptive = {**(entry.adaptive_conf(vars(args)) or {}), **added}
        adaptive["total_steps"] = config.total_steps
        options = {**entry.options(vars(args)), "adaptive_dropout_conf": adaptive}
        setattr(args, entry.conf, options)
    config = last_to_freeze([config for _, config in configs])
    if conf.get("best_model_criterion"):
        ends = epoch_ends(view.max_epoch, config.known_steps)
        criteria = conf["best_model_criterion"]
        conf["best_model_criterion"] = _of_final_size(
            criteria, view.model_conf, config, ends
        )


def _of_final_size(
    criteria: Sequence[Sequence[Any]],
    model_conf: Mapping[str, Any],
    config: AdaptiveDropoutConfig,
    ends: list[float],
) -> list[list[Any]]:
    """The criteria, with no more checkpoints averaged than have the final size."""
    # "step" is the last epochs, "valid/acc" a score.
    scores = [tuple(name.split("/", 1)) for name, _, _ in criteria if "/" in name]
    check_criteria(scores, config, model_conf)
    return [
        [name, mode, averaged(wanted, ends, config)] for name, mode, wanted in criteria
    ]


def _as_espnet2(args: argparse.Namespace, conf: dict[str, Any]) -> argparse.Namespace:
    """The same training in the options of ESPnet's own trainer."""
    view = copy.copy(args)
    view.accum_grad = conf.get("accumulate_grad_batches", 1)
    view.multiprocessing_distributed, view.ngpu = False, 0
    view.dist_launcher, view.dist_world_size = None, _process_count(conf)
    # This trainer always resumes from the last checkpoint.
    view.resume = True
    return view


def _length(conf: Mapping[str, Any], batches: int) -> tuple[int, int]:
    """Epochs and training forward passes of a training.

    Args:
        conf: ``lightning_conf``.
        batches: number of batches in an epoch without a limit.
    """
    for name in _UNKNOWN_LENGTH:
        if conf.get(name) is not None:
            raise ValueError(
                f"lightning_conf.{name}: adaptive dropout cannot work out the length "
                f"of such a training; set max_epochs or max_steps alone"
            )
    limit = conf.get("limit_train_batches", 1.0)
    per_epoch = int(batches * limit) if isinstance(limit, float) else limit
    per_epoch = max(min(per_epoch, batches), 1)
    epochs, updates = conf.get("max_epochs") or -1, conf.get("max_steps") or -1
    ends = []
    if epochs > 0:
        ends.append(epochs * per_epoch)
    if updates > 0:
        # What is left over at the end of an epoch makes an update of its own.
        accum_grad = conf.get("accumulate_grad_batches", 1)
        whole, rest = divmod(updates, math.ceil(per_epoch / accum_grad))
        ends.append(whole * per_epoch + rest * accum_grad)
    if not ends:
        raise ValueError(
            "adaptive dropout needs a training with an end: set "
            "lightning_conf.max_epochs or max_steps"
        )
    return math.ceil(min(ends) / per_epoch), min(ends)


def _process_count(conf: Mapping[str, Any]) -> int:
    """Number of processes that share a batch: one for every device."""
    devices = conf.get("devices", "auto")
    if isinstance(devices, (list, tuple)):
        devices = len(devices)
    elif str(devices) in ("auto", "-1"):
        on_cpu = conf.get("accelerator") == "cpu"
        devices = 1 if on_cpu else max(torch.cuda.device_count(), 1)
    return int(devices) * int(conf.get("num_nodes", 1))
