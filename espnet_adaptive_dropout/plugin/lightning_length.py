"""The length of a training by ESPnet2's Lightning trainer (``lightning_train``).

That trainer reads most of its settings from ``lightning_conf``. They are looked at
here as if they were those of ESPnet's own trainer.
"""

from __future__ import annotations

import argparse
import copy
import math
from collections.abc import Mapping
from typing import Any

import torch

from espnet_adaptive_dropout.control.config import AdaptiveDropoutConfig
from espnet_adaptive_dropout.experiments.encoder_entry import encoder_entry
from espnet_adaptive_dropout.plugin.earlier_training import (
    EarlierTraining,
    check_end,
    check_same_size,
    earlier_training,
    epoch_ends,
)
from espnet_adaptive_dropout.plugin.epoch_length import steps_per_epoch
from espnet_adaptive_dropout.plugin.selection import averaged, check_criteria
from espnet_adaptive_dropout.plugin.training_length import missing_options, needs_length

# With these, nobody knows how many batches an epoch or the training will have.
_UNKNOWN_LENGTH = ("max_time", "overfit_batches", "min_epochs", "min_steps")


def complete_lightning(args: argparse.Namespace) -> None:
    """Set what ``adaptive_dropout_conf`` lacks for this training.

    Args:
        args: arguments of ``espnet2.bin.lightning_train``, changed in place. Those of
            another encoder are left alone.

    Raises:
        ValueError: the length cannot be worked out, the training selects checkpoints
            from before the freeze, or the training in ``output_dir``, with which it
            goes on, was begun for another size.
    """
    if not needs_length(args):
        return
    conf = args.lightning_conf or {}
    if conf.get("strategy", "ddp") != "ddp":
        raise ValueError(
            f"lightning_conf.strategy={conf['strategy']}: adaptive dropout needs the "
            f"whole model in every process, strategy: ddp"
        )
    view = _as_espnet2(args, conf)
    entry = encoder_entry(vars(args))
    options = entry.options(vars(args))
    known = dict(options.get("adaptive_dropout_conf") or {})
    view.max_epoch, steps = _length(conf, steps_per_epoch(view))
    known.setdefault("total_steps", steps)
    config = AdaptiveDropoutConfig.from_dict(known)
    known["total_steps"] = config.total_steps
    check_same_size(view, config)
    earlier = earlier_training(view)
    check_end(view, config, earlier, math.ceil(steps / view.max_epoch))
    setattr(view, entry.conf, {**options, "adaptive_dropout_conf": known})
    added = missing_options(view, known["total_steps"])
    options["adaptive_dropout_conf"] = {**known, **added}
    setattr(args, entry.conf, options)
    if conf.get("best_model_criterion"):
        ends = epoch_ends(EarlierTraining(), None, view.max_epoch, known["total_steps"])
        conf["best_model_criterion"] = _of_final_size(view, conf, config, ends)


def _of_final_size(
    view: argparse.Namespace,
    conf: Mapping[str, Any],
    config: AdaptiveDropoutConfig,
    ends: list[float],
) -> list[list[Any]]:
    """The criteria, with no more checkpoints averaged than have the final size."""
    criteria = conf["best_model_criterion"]
    # "step" is the last epochs, "valid/acc" a score.
    scores = [tuple(name.split("/", 1)) for name, _, _ in criteria if "/" in name]
    check_criteria(scores, config, view.model_conf)
    return [
        [name, mode, averaged(wanted, ends, config)] for name, mode, wanted in criteria
    ]


def _as_espnet2(
    args: argparse.Namespace, conf: Mapping[str, Any]
) -> argparse.Namespace:
    """The options of ESPnet's own trainer that mean the same."""
    view = copy.copy(args)
    view.accum_grad = conf.get("accumulate_grad_batches", 1)
    view.multiprocessing_distributed, view.ngpu = False, 0
    view.dist_launcher, view.dist_world_size = None, _processes(conf)
    # This trainer always resumes from the last checkpoint.
    view.resume = True
    return view


def _length(conf: Mapping[str, Any], batches: int) -> tuple[int, int]:
    """Epochs and training forward passes, of ``batches`` that an epoch could have."""
    for name in _UNKNOWN_LENGTH:
        if conf.get(name) is not None:
            raise ValueError(
                f"lightning_conf.{name}: adaptive dropout cannot work out the length "
                f"of such a training; set max_epochs or max_steps alone"
            )
    limit = conf.get("limit_train_batches", 1.0)
    per_epoch = int(batches * limit) if isinstance(limit, float) else limit
    per_epoch = max(min(per_epoch, batches), 1)
    epochs, updates = conf.get("max_epochs", -1), conf.get("max_steps", -1)
    ends = []
    if epochs is not None and epochs > 0:
        ends.append(epochs * per_epoch)
    if updates is not None and updates > 0:
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


def _processes(conf: Mapping[str, Any]) -> int:
    """How many processes share a batch; Lightning has one for each device."""
    devices = conf.get("devices", "auto")
    if isinstance(devices, (list, tuple)):
        devices = len(devices)
    elif str(devices) in ("auto", "-1"):
        on_cpu = conf.get("accelerator") == "cpu"
        devices = 1 if on_cpu else max(torch.cuda.device_count(), 1)
    return int(devices) * int(conf.get("num_nodes", 1))
