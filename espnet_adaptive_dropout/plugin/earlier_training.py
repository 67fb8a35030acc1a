"""The training that ESPnet will resume: its progress, and whether it can go on.

ESPnet takes the new config and the old weights without comparing them: another size
would be ignored once the size is frozen.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from espnet_adaptive_dropout.control.config import AdaptiveDropoutConfig
from espnet_adaptive_dropout.experiments.encoder_entry import StackEntry
from espnet_adaptive_dropout.experiments.experiment import load_checkpoint, load_config

# Checkpoints of ESPnet's own trainer and of its Lightning trainer
_CHECKPOINTS = ("checkpoint.pth", "last.ckpt")


@dataclasses.dataclass(frozen=True)
class EarlierTraining:
    """Progress of a training.

    Args:
        epochs: number of finished epochs.
        steps: number of training forward passes in them.
        is_frozen: whether the size is final.
    """

    epochs: int = 0
    steps: int = 0
    is_frozen: bool = False


def _checkpoint(args: argparse.Namespace) -> Path | None:
    """The checkpoint that ESPnet will resume from, None if there is none."""
    paths = [Path(args.output_dir or "", name) for name in _CHECKPOINTS]
    return next((path for path in paths if args.resume and path.exists()), None)


def earlier_options(
    args: argparse.Namespace, entry: StackEntry, config: AdaptiveDropoutConfig
) -> dict[str, Any]:
    """``adaptive_dropout_conf`` of the training to be resumed; {} if there is none.

    Args:
        args: arguments of the training that is about to start.
        entry: the encoder's or the decoder's.
        config: its options of adaptive dropout.

    Raises:
        ValueError: an option that determines the size has changed, or the training
            in ``output_dir`` is one of another encoder or decoder; the message has
            both values.
    """
    path = Path(args.output_dir or "", "config.yaml")
    if _checkpoint(args) is None or not path.exists():
        return {}
    before = load_config(path)
    if not entry.is_adaptive(before):
        now, then = entry.adaptive, before.get(entry.option)
        raise _changed(args.output_dir, entry.option, now, then)
    options = entry.adaptive_conf(before)
    size_before = AdaptiveDropoutConfig.from_dict(options).size_options(entry.kind)
    refuse_changed_size(args.output_dir, size_before, config.size_options(entry.kind))
    return options or {}


def refuse_changed_size(
    where: str, before: Mapping[str, Any], now: Mapping[str, Any]
) -> None:
    """Refuse size options that differ from those that a training was started with.

    Args:
        where: directory or file of the training, for the message.
        before: ``size_options`` of the training; one that its release did not have
            counts as the default.
        now: ``size_options`` that it is to be resumed with.

    Raises:
        ValueError: one differs; the message has both values.
    """
    before = {**AdaptiveDropoutConfig().size_options(), **before}
    for name, value in now.items():
        if value != before[name]:
            option = f"adaptive_dropout_conf.{name}"
            raise _changed(where, option, value, before[name])


def _changed(where: str, option: str, value: Any, before: Any) -> ValueError:
    return ValueError(
        f"{option}: {value}, but {where} holds a training with {option}: {before}, "
        f"which cannot be resumed with another value; choose another --output_dir "
        f"(asr.sh: --asr_tag; ESPnet3: exp_dir) or set it back"
    )


def earlier_training(args: argparse.Namespace, entry: StackEntry) -> EarlierTraining:
    """Progress of the training that ESPnet will resume; all zero without one.

    Args:
        args: arguments of the training that is about to start.
        entry: the encoder or the decoder, whose clock is read.

    Raises:
        ValueError: the checkpoint cannot be read.
    """
    path = _checkpoint(args)
    if path is None:
        return EarlierTraining()
    try:
        epochs, state = _progress(load_checkpoint(path))
    except (ValueError, KeyError) as error:
        missing = isinstance(error, KeyError)
        reason = f"{path}: no {error} in it" if missing else str(error)
        raise ValueError(
            f"{reason}; to start the training anew, remove the file or choose "
            f"another --output_dir"
        ) from None
    prefix = f"{entry.prefix}control."
    steps, frozen = (float(state.get(prefix + n, 0.0)) for n in ("step", "frozen"))
    return EarlierTraining(epochs, int(steps), frozen > 0)


def _progress(checkpoint: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
    """Number of finished epochs, and the weights of the model."""
    if "pytorch-lightning_version" not in checkpoint:
        return int(checkpoint["reporter"]["epoch"]), checkpoint["model"]
    prefix = "model."
    state = checkpoint["state_dict"].items()
    weights = {n[len(prefix) :]: v for n, v in state if n.startswith(prefix)}
    return int(checkpoint["epoch"]) + 1, weights


def epoch_ends(
    epochs: int,
    total_steps: int,
    earlier: EarlierTraining = EarlierTraining(),
    per_epoch: int | None = None,
) -> list[float]:
    """Number of training forward passes at the end of every epoch.

    Args:
        epochs: number of epochs of the whole training.
        total_steps: training forward passes of the whole training, as configured.
        earlier: finished epochs, which count as equally long.
        per_epoch: forward passes in each further epoch; None if unknown: all epochs
            then count as equally long.
    """
    if per_epoch is None:
        return [total_steps * epoch / epochs for epoch in range(1, epochs + 1)]
    done = min(earlier.epochs, epochs)
    ends = [earlier.steps * (e + 1) / earlier.epochs for e in range(done)]
    return ends + [earlier.steps + per_epoch * (e + 1) for e in range(epochs - done)]


def check_end(
    args: argparse.Namespace,
    config: AdaptiveDropoutConfig,
    earlier: EarlierTraining,
    per_epoch: int | None,
) -> None:
    """Refuse a training that would end before the size is frozen.

    Args:
        args: arguments of the training.
        config: options of adaptive dropout, with ``total_steps``.
        earlier: progress so far.
        per_epoch: forward passes in each further epoch, None if unknown.

    Raises:
        ValueError: the size would not be frozen; the message has the numbers.
    """
    if not config.freezes or earlier.is_frozen or per_epoch is None:
        return
    further = args.max_epoch - earlier.epochs
    if further <= 0:
        raise ValueError(
            f"max_epoch={args.max_epoch}, but {args.output_dir} holds {earlier.epochs} "
            f"epochs of a training whose size is not frozen yet: nothing would be "
            f"trained; set max_epoch to more than {earlier.epochs}"
        )
    end = earlier.steps + further * per_epoch
    if end <= config.freeze_step:
        raise ValueError(
            f"adaptive_dropout_conf.total_steps={config.total_steps}, but the training "
            f"ends at step {end} (max_epoch={args.max_epoch}), before the size is "
            f"frozen at step {config.freeze_step:.0f} (freeze_at={config.freeze_at}); "
            f"leave total_steps out or train longer"
        )
