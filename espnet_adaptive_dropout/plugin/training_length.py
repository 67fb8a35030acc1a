"""Works out how long a training will be, so that no user has to.

The size ramp and the freeze are given as shares of the training, and the logits
must be able to travel from "kept" to "gone" within it whatever the learning rates
are. Both follow from the data, the batch settings, ``max_epoch``, the optimizer and
the scheduler; the runner adds them to the command line of an ESPnet training.
"""

from __future__ import annotations

import argparse
import os
from typing import Any, Dict, List, Optional

import torch
import yaml

from espnet_adaptive_dropout.control.config import AdaptiveDropoutConfig
from espnet_adaptive_dropout.experiments.encoder_entry import ADAPTIVE, encoder_entry
from espnet_adaptive_dropout.plugin.earlier_training import (
    check_end,
    check_same_size,
    earlier_training,
    epoch_ends,
)
from espnet_adaptive_dropout.plugin.epoch_length import process_count, steps_per_epoch
from espnet_adaptive_dropout.plugin.init_param import without_old_gates
from espnet_adaptive_dropout.plugin.selection import selection_arguments

# An Adam step moves a parameter by at most about the learning rate, and a logit has
# to travel from +4 to well below -4 against the task's gradient, from where units
# begin to go.
LOGIT_TRAVEL = 20.0
# Of ESPnet's own trainer and of its Lightning trainer.
_CHECKPOINTS = ("checkpoint.pth", "last.ckpt")


def complete_arguments(
    parser: argparse.ArgumentParser, arguments: List[str]
) -> List[str]:
    """Add what a training with adaptive dropout needs to its command line.

    Args:
        parser: parser of the ESPnet training command.
        arguments: its command line.

    Returns:
        The command line with ``--encoder_conf adaptive_dropout_conf.total_steps=...``
        and the same for ``logit_scale`` and ``history_dir`` where the user has not
        set them, and with the gates and the clock of ``--init_param`` checkpoints
        left out, and with no more checkpoints averaged than have the final size.
        Unchanged for another encoder, for ``--collect_stats`` and for
        ``--print_config``.

    Raises:
        ValueError: the length cannot be worked out, the training selects checkpoints
            from before the freeze or ends before it, or the training that would be
            resumed was begun for another size.
    """
    if "--print_config" in arguments or "--help" in arguments or "-h" in arguments:
        return arguments
    args = parser.parse_args(arguments)
    if not needs_length(args):
        return arguments
    entry = encoder_entry(vars(args))
    config = _config(args)
    check_same_size(args, config)
    earlier, per_epoch = earlier_training(args), _steps_per_epoch(args, config)
    added: List[str] = []
    if config.total_steps is None:
        further = max(args.max_epoch - earlier.epochs, 0)
        config.total_steps = earlier.steps + further * per_epoch
        added += [f"--{entry.conf}"]
        added += [f"adaptive_dropout_conf.total_steps={config.total_steps}"]
    for name, value in missing_options(args, config.total_steps).items():
        added += [f"--{entry.conf}", f"adaptive_dropout_conf.{name}={value}"]
    check_end(args, config, earlier, per_epoch)
    ends = epoch_ends(earlier, per_epoch, args.max_epoch, config.total_steps)
    added += selection_arguments(args, ends, config)
    return without_old_gates(args.init_param, arguments, args.output_dir) + added


def needs_length(args: argparse.Namespace) -> bool:
    """Whether these are the arguments of a training with adaptive dropout.

    Raises:
        ValueError: ``adaptive_dropout_conf`` is wrong.
    """
    entry = encoder_entry(vars(args))
    if getattr(args, entry.option, None) != ADAPTIVE:
        return False
    return not (args.collect_stats or _config(args).locations == [])


def _config(args: argparse.Namespace) -> AdaptiveDropoutConfig:
    options = encoder_entry(vars(args)).options(vars(args))
    return AdaptiveDropoutConfig.from_dict(options.get("adaptive_dropout_conf") or {})


def missing_options(args: argparse.Namespace, total_steps: int) -> Dict[str, Any]:
    """What else ``adaptive_dropout_conf`` lacks for the training of ``args``.

    Args:
        args: arguments of the training.
        total_steps: training forward passes.

    Raises:
        ValueError: as :func:`complete_arguments`.
    """
    config = _config(args)
    added: Dict[str, Any] = {}
    _refuse_spread_models(args)
    if config.logit_scale is None:
        scale = _scale_before(args)
        if scale is None:
            scale = logit_scale(args, total_steps, config.gates_begin)
        added["logit_scale"] = round(scale, 4)
    if config.history_dir is None and args.output_dir is not None:
        added["history_dir"] = args.output_dir
    return added


def _steps_per_epoch(
    args: argparse.Namespace, config: AdaptiveDropoutConfig
) -> Optional[int]:
    """Training forward passes in an epoch; None if unknown and not needed."""
    try:
        return steps_per_epoch(args)
    except ValueError:
        if config.total_steps is None:
            raise
        return None


def _refuse_spread_models(args: argparse.Namespace) -> None:
    """The freeze sets the logits, of which every process must have the only copy."""
    if getattr(args, "use_deepspeed", False):
        raise ValueError(
            "use_deepspeed=true: DeepSpeed keeps the weights elsewhere and would undo "
            "the freeze; train with ESPnet's own DDP"
        )
    together = args.ngpu > 1 and not args.multiprocessing_distributed
    if together and process_count(args) == 1:
        raise ValueError(
            f"ngpu={args.ngpu} in one process: adaptive dropout needs a process "
            f"for every GPU, --multiprocessing_distributed true"
        )


def logit_scale(
    args: argparse.Namespace, total_steps: int, begin: float = 0.0
) -> float:
    """The logit scale for a training of ESPnet2.

    Args:
        args: arguments of the training.
        total_steps: training forward passes.
        begin: share of the training after which the logits move.
    """
    return scale_for(_sum_of_rates(args, total_steps, begin))


def scale_for(rates: float) -> float:
    """20 / (sum of the learning rates while logits move), between 1 and 100."""
    return min(max(LOGIT_TRAVEL / rates, 1.0), 100.0)


def _scale_before(args: argparse.Namespace) -> Optional[float]:
    """The scale of the training that ``--resume`` goes on with.

    The checkpoint holds logit / scale: with another ``max_epoch``, and so another
    scale, its logits would jump.
    """
    directory = args.output_dir or ""
    checkpoints = [os.path.join(directory, name) for name in _CHECKPOINTS]
    if not args.resume or not any(map(os.path.exists, checkpoints)):
        return None
    with open(f"{directory}/config.yaml", encoding="utf-8") as file:
        config = yaml.safe_load(file)
    options = encoder_entry(config).options(config).get("adaptive_dropout_conf")
    return (options or {}).get("logit_scale")


def _sum_of_rates(args: argparse.Namespace, total_steps: int, begin: float) -> float:
    """Sum of the learning rates from a share of a training of ESPnet2 on."""
    from espnet2.schedulers.abs_scheduler import AbsBatchStepScheduler
    from espnet2.tasks.abs_task import optim_classes, scheduler_classes

    updates = max(total_steps // max(args.accum_grad, 1), 1)
    optimizer = optim_classes[args.optim](
        [torch.nn.Parameter(torch.zeros(1))], **args.optim_conf
    )
    kind = None if args.scheduler is None else scheduler_classes[args.scheduler]
    # Others are stepped once an epoch, some by a validation score: the initial rate
    # is the best guess that does not depend on the outcome.
    scheduler = None
    if kind is not None and issubclass(kind, AbsBatchStepScheduler):
        scheduler = kind(optimizer, **args.scheduler_conf)
    return sum_of_rates(optimizer, scheduler, updates, begin)


def sum_of_rates(
    optimizer: torch.optim.Optimizer, scheduler, updates: int, begin: float = 0.0
) -> float:
    """Sum of the learning rates over a training, by running the scheduler.

    Args:
        optimizer: of a parameter that is not needed elsewhere.
        scheduler: stepped after every update, or None for a constant rate.
        updates: number of updates.
        begin: share of them that is left out at the start, below 1.
    """
    first = min(round(begin * updates), updates - 1)
    if scheduler is None:
        return optimizer.param_groups[0]["lr"] * (updates - first)
    optimizer.step()
    total = 0.0
    for update in range(updates):
        if update >= first:
            total += optimizer.param_groups[0]["lr"]
        scheduler.step()
    return total
