"""What the training that ESPnet will resume has done so far, and whether it can go on.

ESPnet takes the new config and the old weights without comparing them. A size that
was asked for later would be ignored once the size is frozen.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from espnet_adaptive_dropout.control.config import AdaptiveDropoutConfig
from espnet_adaptive_dropout.experiments.encoder_entry import ADAPTIVE, encoder_entry
from espnet_adaptive_dropout.experiments.experiment import load_checkpoint, load_config

# Written by ESPnet's own trainer and by its Lightning trainer.
CHECKPOINT, LIGHTNING_CHECKPOINT = "checkpoint.pth", "last.ckpt"


@dataclasses.dataclass(frozen=True)
class EarlierTraining:
    """Progress of a training.

    Args:
        epochs: number of epochs that are over.
        steps: number of training forward passes in them.
        is_frozen: whether the size is final.
    """

    epochs: int = 0
    steps: int = 0
    is_frozen: bool = False


def check_same_size(args: argparse.Namespace, config: AdaptiveDropoutConfig) -> None:
    """Refuse to resume a training that was begun for another size.

    Args:
        args: arguments of the training that is about to start.
        config: its options of adaptive dropout.

    Raises:
        ValueError: an option that determines the size has changed, or the training
            in ``output_dir`` is one of another encoder; the message has both values.
    """
    before = _earlier_config(args)
    if before is None:
        return
    directory = args.output_dir
    entry = encoder_entry(before)
    if before[entry.option] != ADAPTIVE:
        raise _other(directory, entry.option, ADAPTIVE, before[entry.option])
    options = entry.options(before).get("adaptive_dropout_conf")
    begun_for = AdaptiveDropoutConfig.from_dict(options).size_options()
    refuse_changed_size(directory, begun_for, config.size_options())


def _earlier_config(args: argparse.Namespace) -> dict[str, Any] | None:
    """Config of the training that ESPnet will resume, None if there is none."""
    directory = args.output_dir or ""
    path = os.path.join(directory, "config.yaml")
    names = (CHECKPOINT, LIGHTNING_CHECKPOINT)
    has_begun = any(os.path.exists(os.path.join(directory, name)) for name in names)
    if not args.resume or not has_begun or not os.path.exists(path):
        return None
    return load_config(path)


def logit_scale_before(args: argparse.Namespace) -> float | None:
    """The logit scale of an older release's training that ``--resume`` goes on with."""
    before = _earlier_config(args)
    if before is None:
        return None
    options = encoder_entry(before).options(before).get("adaptive_dropout_conf")
    return (options or {}).get("logit_scale")


def refuse_changed_size(
    where: str, before: Mapping[str, Any], now: Mapping[str, Any]
) -> None:
    """Refuse options that differ from those that a training was begun with.

    Args:
        where: what holds the training, for the message.
        before: ``size_options`` of the training.
        now: those that it is to be resumed with.

    Raises:
        ValueError: one differs; the message has both values.
    """
    for name, value in now.items():
        if value != before.get(name, value):
            option = f"adaptive_dropout_conf.{name}"
            raise _other(where, option, value, before[name])


def _other(where: str, option: str, value: Any, before: Any) -> ValueError:
    return ValueError(
        f"{option}: {value}, but {where} holds a training with {option}: {before}, "
        f"which cannot be resumed with another value; choose another --output_dir "
        f"(asr.sh: --asr_tag; ESPnet3: exp_dir) or set it back"
    )


def earlier_training(args: argparse.Namespace) -> EarlierTraining:
    """Progress of the training that ESPnet will resume.

    Args:
        args: arguments of the training that is about to start.

    Returns:
        All zero where there is nothing to resume.

    Raises:
        ValueError: the checkpoint cannot be read.
    """
    directory = args.output_dir or ""
    for name in (CHECKPOINT, LIGHTNING_CHECKPOINT):
        path = os.path.join(directory, name)
        if not args.resume or not os.path.exists(path):
            continue
        try:
            epochs, state = _progress(load_checkpoint(path))
        except (ValueError, KeyError) as error:
            is_ours = isinstance(error, ValueError)
            reason = error if is_ours else f"{path}: no {error} in it"
            raise ValueError(
                f"{reason}; to start the training anew, remove the file or choose "
                f"another --output_dir"
            ) from None
        prefix = f"{encoder_entry(vars(args)).prefix}control."
        steps, frozen = (float(state.get(prefix + n, 0.0)) for n in ("step", "frozen"))
        return EarlierTraining(epochs, int(steps), frozen > 0)
    return EarlierTraining()


def _progress(checkpoint: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
    """Number of epochs that are over, and the model's weights."""
    if "pytorch-lightning_version" not in checkpoint:
        return int(checkpoint["reporter"]["epoch"]), checkpoint["model"]
    prefix = "model."
    state = checkpoint["state_dict"].items()
    weights = {n[len(prefix) :]: v for n, v in state if n.startswith(prefix)}
    return int(checkpoint["epoch"]) + 1, weights


def epoch_ends(
    earlier: EarlierTraining, per_epoch: int | None, epochs: int, total_steps: int
) -> list[float]:
    """Number of training forward passes at the end of every epoch.

    Args:
        earlier: what is done; its epochs count as equally long.
        per_epoch: forward passes in each further epoch, None if unknown: all epochs
            then count as equally long.
        epochs: number of epochs of the whole training.
        total_steps: forward passes of the whole training, as configured.
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
        config: its options, with ``total_steps``.
        earlier: what is done.
        per_epoch: forward passes in each further epoch, None if unknown.

    Raises:
        ValueError: it would; the message has the numbers.
    """
    if not config.freezes or earlier.is_frozen or per_epoch is None:
        return
    further = max(args.max_epoch - earlier.epochs, 0)
    end = earlier.steps + further * per_epoch
    freeze = config.freeze_step
    if end > freeze and further:
        return
    if not further:
        raise ValueError(
            f"max_epoch={args.max_epoch}, but {args.output_dir} holds {earlier.epochs} "
            f"epochs of a training whose size is not frozen yet: nothing would be "
            f"trained; set max_epoch to more than {earlier.epochs}"
        )
    raise ValueError(
        f"adaptive_dropout_conf.total_steps={config.total_steps}, but the training "
        f"ends at step {end} (max_epoch={args.max_epoch}), before the size is frozen "
        f"at step {freeze:.0f} (freeze_at={config.freeze_at}); leave total_steps out "
        f"or train longer"
    )
