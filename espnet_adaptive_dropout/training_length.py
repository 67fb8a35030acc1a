"""Works out how long a training will be, so that no user has to.

The size ramp and the freeze are given as shares of the training, and the logits
must be able to travel from "kept" to "gone" within it whatever the learning rates
are. Both follow from the data, the batch settings, ``max_epoch``, the optimizer and
the scheduler; the runner adds them to the command line of an ESPnet training.
"""

from __future__ import annotations

import argparse
import math
import os
from typing import List, Optional

import torch
import yaml

from espnet_adaptive_dropout.config import AdaptiveDropoutConfig
from espnet_adaptive_dropout.init_param import without_old_gates
from espnet_adaptive_dropout.place import ADAPTIVE, EncoderPlace, encoder_place

# An Adam step moves a parameter by at most about the learning rate, and a logit has
# to travel from +4 to well below -4 against the task's gradient.
LOGIT_TRAVEL = 20.0


def complete_arguments(
    parser: argparse.ArgumentParser, arguments: List[str]
) -> List[str]:
    """Add what a training with adaptive dropout needs to its command line.

    Args:
        parser: of the ESPnet training command.
        arguments: its command line.

    Returns:
        The command line with ``--encoder_conf adaptive_dropout_conf.total_steps=...``
        and the same for ``logit_scale`` and ``history_dir`` where the user has not
        set them, and with the gates and the clock of ``--init_param`` checkpoints
        left out. Unchanged for another encoder, for ``--collect_stats`` and for
        ``--print_config``.

    Raises:
        ValueError: the length cannot be worked out, or the training selects
            checkpoints from before the freeze.
    """
    if "--print_config" in arguments or "--help" in arguments or "-h" in arguments:
        return arguments
    args = parser.parse_args(arguments)
    place = encoder_place(vars(args))
    if getattr(args, place.option, None) != ADAPTIVE:
        return arguments
    options = place.options(vars(args)).get("adaptive_dropout_conf") or {}
    config = AdaptiveDropoutConfig.from_dict(options)
    if args.collect_stats or config.locations == []:
        return arguments
    added: List[str] = []
    per_epoch = None
    if config.total_steps is None:
        per_epoch = steps_per_epoch(args)
        config.total_steps = per_epoch * args.max_epoch
        added += _option(place, "total_steps", config.total_steps)
    if config.logit_scale is None:
        config.logit_scale = _scale_before(args) or logit_scale(
            args, config.total_steps
        )
        added += _option(place, "logit_scale", round(config.logit_scale, 4))
    if config.history_dir is None and args.output_dir is not None:
        added += _option(place, "history_dir", args.output_dir)
    _check_selection(args, config)
    return without_old_gates(args.init_param, arguments) + added


def _option(place: EncoderPlace, name: str, value) -> List[str]:
    return [f"--{place.conf}", f"adaptive_dropout_conf.{name}={value}"]


def steps_per_epoch(args: argparse.Namespace) -> int:
    """Number of training forward passes in an epoch, by ESPnet's own sampler.

    Raises:
        ValueError: the batches depend on more than the shape files.
    """
    from espnet2.samplers.build_batch_sampler import build_batch_sampler

    if args.num_iters_per_epoch is not None:
        return args.num_iters_per_epoch
    if args.iterator_type != "sequence" or not args.train_shape_file:
        raise ValueError(
            f"the number of training steps cannot be worked out for "
            f"iterator_type={args.iterator_type}; set num_iters_per_epoch or "
            f"encoder_conf.adaptive_dropout_conf.total_steps"
        )
    sampler = dict(
        type=args.batch_type,
        fold_lengths=args.fold_length,
        batch_size=args.batch_size,
        batch_bins=args.batch_bins,
        sort_in_batch=args.sort_in_batch,
        sort_batch=args.sort_batch,
        drop_last=args.drop_last_iter,
        min_batch_size=_smallest_batch(args),
        utt2category_file=_utt2category_file(args),
    )
    batches = 0
    for shape_files in _split_shape_files(args):
        for path in shape_files:
            if not os.path.exists(path):
                raise ValueError(
                    f"{path} (--train_shape_file) does not exist; run the stage that "
                    f"collects statistics (10) first"
                )
        batches += len(list(build_batch_sampler(shape_files=shape_files, **sampler)))
    return batches


def _smallest_batch(args: argparse.Namespace) -> int:
    """An utterance for each process of a distributed training, or as configured."""
    processes = args.dist_world_size or 1
    if args.multiprocessing_distributed:
        processes *= max(args.ngpu, 1)
    return processes if processes > 1 else getattr(args, "min_batch_size", 1)


def _utt2category_file(args: argparse.Namespace) -> Optional[str]:
    """Beside the first data file; ESPnet keeps its categories in separate batches."""
    first = args.train_data_path_and_name_and_type[:1]
    path = os.path.join(os.path.dirname(first[0][0]), "utt2category") if first else ""
    return path if os.path.exists(path) else None


def _split_shape_files(args: argparse.Namespace) -> List[List[str]]:
    """The shape files of every split of the training data (usually one)."""
    if not args.multiple_iterator:
        return [list(args.train_shape_file)]
    path = os.path.join(args.train_shape_file[0], "num_splits")
    try:
        with open(path) as file:
            splits = int(file.read())
    except OSError as error:
        raise ValueError(
            f"{path}: {error.strerror}; with multiple_iterator=true, "
            f"--train_shape_file names directories that espnet2.bin.split_scps wrote"
        ) from None
    return [
        [os.path.join(path, f"split.{i}") for path in args.train_shape_file]
        for i in range(splits)
    ]


def logit_scale(args: argparse.Namespace, total_steps: int) -> float:
    """The logit scale for a training of ESPnet2."""
    return scale_for(_sum_of_rates(args, total_steps))


def scale_for(rates: float) -> float:
    """20 / (sum of the learning rates of all updates), between 1 and 100."""
    return min(max(LOGIT_TRAVEL / rates, 1.0), 100.0)


def _scale_before(args: argparse.Namespace) -> Optional[float]:
    """The scale of the training that ``--resume`` goes on with.

    The checkpoint holds logit / scale: with another ``max_epoch``, and so another
    scale, its logits would jump.
    """
    directory = args.output_dir or ""
    if not args.resume or not os.path.exists(f"{directory}/checkpoint.pth"):
        return None
    with open(f"{directory}/config.yaml", encoding="utf-8") as file:
        config = yaml.safe_load(file)
    options = encoder_place(config).options(config).get("adaptive_dropout_conf")
    return (options or {}).get("logit_scale")


def _sum_of_rates(args: argparse.Namespace, total_steps: int) -> float:
    """Sum of the learning rates over a training of ESPnet2."""
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
    return sum_of_rates(optimizer, scheduler, updates)


def sum_of_rates(optimizer: torch.optim.Optimizer, scheduler, updates: int) -> float:
    """Sum of the learning rates over a training, by running the scheduler.

    Args:
        optimizer: of a parameter that is not needed elsewhere.
        scheduler: stepped after every update, or None for a constant rate.
        updates: number of updates.
    """
    if scheduler is None:
        return optimizer.param_groups[0]["lr"] * updates
    optimizer.step()
    total = 0.0
    for _ in range(updates):
        total += optimizer.param_groups[0]["lr"]
        scheduler.step()
    return total


def _check_selection(args: argparse.Namespace, config: AdaptiveDropoutConfig) -> None:
    """Refuse to average checkpoints from before the freeze."""
    if not config.freezes:
        return
    frozen_epochs = args.max_epoch - math.ceil(config.freeze_at * args.max_epoch) + 1
    wanted = args.keep_nbest_models
    wanted = max(wanted) if isinstance(wanted, list) else wanted
    if wanted > frozen_epochs:
        raise ValueError(
            f"keep_nbest_models={wanted} but only {frozen_epochs} of {args.max_epoch} "
            f"epochs end after the size is frozen (freeze_at={config.freeze_at}); "
            f"averaging would mix sizes: keep fewer, train longer or freeze earlier"
        )
    names = {criterion[1] for criterion in args.best_model_criterion}
    early = sorted(name for name in names if not name.startswith("final_"))
    if early:
        raise ValueError(
            f"best_model_criterion {', '.join(early)} may select epochs from before "
            f"the size is frozen; use final_acc (max) or final_loss (min)"
        )
