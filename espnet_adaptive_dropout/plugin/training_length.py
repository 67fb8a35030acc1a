"""Completes the options of a training with ESPnet's own trainer.

The size ramp and the freeze are given as shares of the training, whose length follows
from the data, the batch settings and ``max_epoch``: no user has to work it out.
"""

from __future__ import annotations

import argparse
from typing import Any

from espnet_adaptive_dropout.control.bound import check_length
from espnet_adaptive_dropout.control.config import AdaptiveDropoutConfig
from espnet_adaptive_dropout.encoders.teacher import load_teacher
from espnet_adaptive_dropout.experiments.encoder_entry import (
    StackEntry,
    adaptive_entries,
    decoder_entry,
    main_decoder,
)
from espnet_adaptive_dropout.plugin.earlier_training import (
    check_end,
    earlier_options,
    earlier_training,
    epoch_ends,
)
from espnet_adaptive_dropout.plugin.epoch_length import process_count, steps_per_epoch
from espnet_adaptive_dropout.plugin.init_param import without_old_gates
from espnet_adaptive_dropout.plugin.selection import (
    last_to_freeze,
    selection_arguments,
)

# Entries of a config with their options of adaptive dropout
Configs = list[tuple[StackEntry, AdaptiveDropoutConfig]]


def complete_arguments(
    parser: argparse.ArgumentParser, arguments: list[str]
) -> list[str]:
    """Add what a training with adaptive dropout needs to its command line.

    Args:
        parser: parser of the ESPnet training command.
        arguments: command line of the training.

    Returns:
        The command line with the missing ``adaptive_dropout_conf`` options, without
        the gates and the clock of ``--init_param`` checkpoints, and with no more
        checkpoints averaged than have the final size. Unchanged for another encoder,
        for ``--collect_stats`` and for ``--print_config``.

    Raises:
        ValueError: the length cannot be worked out, the training selects checkpoints
            from before the freeze or ends before it, or the training to be resumed
            was started for another size.
    """
    if {"--print_config", "--help", "-h"} & set(arguments):
        return arguments
    args = parser.parse_args(arguments)
    configs = adaptive_configs(args)
    if not configs:
        return arguments
    per_epoch = _steps_per_epoch(args, configs)
    options: list[str] = []
    for entry, config in configs:
        added, ends = complete_options(args, entry, config, per_epoch)
        for name, value in added.items():
            options += [f"--{entry.conf}", f"adaptive_dropout_conf.{name}={value}"]
    options += selection_arguments(args, ends, last_to_freeze([x for _, x in configs]))
    return without_old_gates(args.init_param, arguments, args.output_dir) + options


def adaptive_configs(args: argparse.Namespace) -> Configs:
    """Entries of a training that have gates, and their options; [] for other commands.

    With ``of: model`` the decoder has no clock of its own and is left out.

    Raises:
        ValueError: an ``adaptive_dropout_conf`` is wrong.
    """
    if args.collect_stats:
        return []
    configs = [
        (entry, AdaptiveDropoutConfig.from_dict(entry.adaptive_conf(vars(args))))
        for entry in adaptive_entries(vars(args))
    ]
    with_clock = [
        (entry, config)
        for entry, config in configs
        if entry.kind == "encoder" or config.of is None
    ]
    return [(entry, config) for entry, config in with_clock if config.locations != []]


def check_decoder(model: Any, args: argparse.Namespace) -> None:
    """Refuse a decoder with adaptive dropout that the model does not use.

    Args:
        model: ESPnet model.
        args: arguments that it was built of.

    Raises:
        ValueError: the model has no decoder.
    """
    entry = decoder_entry(vars(args))
    if entry.is_adaptive(vars(args)) and main_decoder(model) is None:
        raise ValueError(
            f"{entry.option}: {entry.adaptive}, but the model uses no decoder (CTC "
            f"only); set model_conf.ctc_weight below 1 or choose '{entry.stock}'"
        )


def complete_options(
    args: argparse.Namespace,
    entry: StackEntry,
    config: AdaptiveDropoutConfig,
    per_epoch: int | None,
) -> tuple[dict[str, Any], list[float]]:
    """Set the missing options of adaptive dropout, and check the training.

    Args:
        args: arguments of the training.
        entry: the encoder's or the decoder's.
        config: its options of adaptive dropout, changed in place.
        per_epoch: training forward passes in an epoch; None if unknown, where
            ``config`` has ``total_steps``.

    Returns:
        The options that were missing, and the number of training forward passes at
        the end of every epoch.

    Raises:
        ValueError: see :func:`complete_arguments`.
    """
    if config.teacher is not None:
        load_teacher(config.teacher)  # refuses a wrong file before the data are read
    before = earlier_options(args, entry, config)
    _refuse_other_copies(args)
    earlier = earlier_training(args, entry)
    added: dict[str, Any] = {}
    if config.total_steps is None and per_epoch is not None:
        further = max(args.max_epoch - earlier.epochs, 0)
        added["total_steps"] = earlier.steps + further * per_epoch
    if config.accum_grad is None and args.accum_grad > 1:
        added["accum_grad"] = args.accum_grad
    if config.logit_scale is None and before.get("logit_scale") is not None:
        added["logit_scale"] = before["logit_scale"]
    if config.history_dir is None and args.output_dir is not None:
        added["history_dir"] = args.output_dir
    for name, value in added.items():
        setattr(config, name, value)
    check_length(config)
    check_end(args, config, earlier, per_epoch)
    ends = epoch_ends(args.max_epoch, config.known_steps, earlier, per_epoch)
    return added, ends


def _steps_per_epoch(args: argparse.Namespace, configs: Configs) -> int | None:
    """Training forward passes in an epoch; None if unknown and not needed."""
    try:
        return steps_per_epoch(args)
    except ValueError:
        if any(config.total_steps is None for _, config in configs):
            raise
        return None


def _refuse_other_copies(args: argparse.Namespace) -> None:
    """Refuse trainings in which a process or a checkpoint lacks the logits."""
    save = getattr(args, "save_strategy", "all")
    if save != "all":
        raise ValueError(
            f"save_strategy={save}: the checkpoints would lack the logits, which "
            f"require no gradient; adaptive dropout needs save_strategy: all"
        )
    if getattr(args, "use_deepspeed", False):
        raise ValueError(
            "use_deepspeed=true: DeepSpeed keeps the weights elsewhere and would undo "
            "the freeze; train with ESPnet's own DDP"
        )
    one_process = args.ngpu > 1 and not args.multiprocessing_distributed
    if one_process and process_count(args) == 1:
        raise ValueError(
            f"ngpu={args.ngpu} in one process: adaptive dropout needs a process "
            f"for every GPU, --multiprocessing_distributed true"
        )
