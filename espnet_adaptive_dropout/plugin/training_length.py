"""Works out how long a training will be, so that no user has to.

The size ramp and the freeze are given as shares of the training, in which the logits
must be able to travel from "kept" to "gone". Its length follows from the data, the
batch settings and ``max_epoch``; the runner adds it to the command line.
"""

from __future__ import annotations

import argparse
from typing import Any

from espnet_adaptive_dropout.control.bound import check_length
from espnet_adaptive_dropout.control.config import AdaptiveDropoutConfig
from espnet_adaptive_dropout.experiments.encoder_entry import ADAPTIVE, encoder_entry
from espnet_adaptive_dropout.plugin.earlier_training import (
    check_end,
    check_same_size,
    earlier_training,
    epoch_ends,
    logit_scale_before,
)
from espnet_adaptive_dropout.plugin.epoch_length import process_count, steps_per_epoch
from espnet_adaptive_dropout.plugin.init_param import without_old_gates
from espnet_adaptive_dropout.plugin.selection import selection_arguments


def complete_arguments(
    parser: argparse.ArgumentParser, arguments: list[str]
) -> list[str]:
    """Add what a training with adaptive dropout needs to its command line.

    Args:
        parser: parser of the ESPnet training command.
        arguments: its command line.

    Returns:
        The command line with ``--encoder_conf adaptive_dropout_conf.total_steps=...``
        and the same for ``accum_grad`` and ``history_dir`` where the user has not
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
    added: list[str] = []
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


def missing_options(args: argparse.Namespace, total_steps: int) -> dict[str, Any]:
    """What else ``adaptive_dropout_conf`` lacks for the training of ``args``.

    Args:
        args: arguments of the training.
        total_steps: training forward passes.

    Raises:
        ValueError: as :func:`complete_arguments`.
    """
    config = _config(args)
    config.total_steps = total_steps
    added: dict[str, Any] = {}
    _refuse_other_copies(args)
    if config.accum_grad is None and args.accum_grad > 1:
        config.accum_grad = added["accum_grad"] = args.accum_grad
    scale = logit_scale_before(args)
    if config.logit_scale is None and scale is not None:
        added["logit_scale"] = scale
    check_length(config)
    if config.history_dir is None and args.output_dir is not None:
        added["history_dir"] = args.output_dir
    return added


def _steps_per_epoch(
    args: argparse.Namespace, config: AdaptiveDropoutConfig
) -> int | None:
    """Training forward passes in an epoch; None if unknown and not needed."""
    try:
        return steps_per_epoch(args)
    except ValueError:
        if config.total_steps is None:
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
    together = args.ngpu > 1 and not args.multiprocessing_distributed
    if together and process_count(args) == 1:
        raise ValueError(
            f"ngpu={args.ngpu} in one process: adaptive dropout needs a process "
            f"for every GPU, --multiprocessing_distributed true"
        )
