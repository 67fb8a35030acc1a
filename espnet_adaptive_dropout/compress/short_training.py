"""The short training: its config follows from the model's own and from the data.

The model is trained on with gates on the units, which the size control moves to the
target early; the original model teaches to the end.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from espnet_adaptive_dropout.compress.shapes import shape_files, sizes
from espnet_adaptive_dropout.compress.written import Written
from espnet_adaptive_dropout.control.bound import ENOUGH_UPDATES
from espnet_adaptive_dropout.experiments.encoder_entry import (
    ADAPTIVE,
    STOCK_DECODER,
    encoder_entry,
)

# Shares of the training: the model is trained already, so that units go early
RAMP_START, RAMP_END, FREEZE_AT = 0.05, 0.35, 0.4
# Updates of a training whose length the user does not say, and passes through the data
USUAL_UPDATES, LEAST_PASSES, MOST_PASSES = 1000, 3, 50
# Epochs, after each of which ESPnet validates and saves
EPOCHS, AVERAGED = 10, 3
# Smallest batch, and batches in a pass if the batch is at least so large
SMALLEST_BATCH, ENOUGH_BATCHES = 8, 100
# Peak learning rate as a share of that of the model's own training; and where the
# optimizer was none of Adam's family
RATE_SHARE, USUAL_RATE = 0.5, 5e-4
_ADAMS = ("adam", "adamw", "radam")
# Options of the model's training that are not those of this one
_LEFT_OUT = (
    *("config", "print_config", "dry_run", "collect_stats", "write_collected_feats"),
    *("output_dir", "ngpu", "resume", "version", "required", "distributed"),
    *("num_iters_per_epoch", "max_epoch", "patience", "init_param", "pretrain_path"),
    *("scheduler", "scheduler_conf", "valid_batch_size", "valid_batch_bins"),
    *("multiple_iterator", "valid_max_cache_size", "iterator_type", "use_lightning"),
    *("valid_iterator_type", "valid_batch_type", "early_stopping_criterion"),
    *("use_wandb", "nbest_averaging_interval", "chunk_length"),
    *("use_deepspeed", "deepspeed_config", "save_strategy", "use_adapter"),
)
_LEFT_OUT_PREFIXES = (
    *("wandb_", "dist_", "local_rank", "multiprocessing_", "lightning"),
    *("train_data", "valid_data", "train_shape", "valid_shape"),
)


@dataclasses.dataclass(frozen=True)
class Length:
    """The length of a training.

    Args:
        batches: batches in a pass through the data.
        passes: passes through the data.
        accum_grad: batches in an update.
    """

    batches: int
    passes: int
    accum_grad: int = 1

    @property
    def per_epoch(self) -> int:
        """Batches in an epoch, of which there are ``EPOCHS``."""
        return max(math.ceil(self.batches * self.passes / EPOCHS), 1)

    @property
    def steps(self) -> int:
        """Batches of the whole training."""
        return self.per_epoch * EPOCHS

    @property
    def updates(self) -> int:
        """Updates of the whole training."""
        return max(self.steps // self.accum_grad, 1)

    @property
    def in_ramp(self) -> int:
        """Updates in which the units are chosen."""
        return int((RAMP_END - RAMP_START) * self.updates)

    def warning(self) -> str | None:
        """Return why the training is too short; None if it is not."""
        if self.in_ramp >= ENOUGH_UPDATES:
            return None
        return (
            f"warning: the training has {self.updates} updates, {self.in_ramp} of "
            f"which choose the units; with less than {ENOUGH_UPDATES} there, units go "
            f"by chance: give more audio, more --epochs, or smaller batches "
            f"(--train_args)"
        )


def usual_passes(batches: int, accum_grad: int = 1) -> int:
    """Return the number of passes where the user does not say one.

    Args:
        batches: batches in a pass.
        accum_grad: batches in an update.
    """
    needed = math.ceil(USUAL_UPDATES * accum_grad / batches)
    return min(max(needed, LEAST_PASSES), MOST_PASSES)


def peak_rate(config: Mapping[str, Any]) -> float:
    """Return the highest learning rate that a training config leads to."""
    conf = config.get("scheduler_conf") or {}
    rate = float((config.get("optim_conf") or {}).get("lr", 1e-3))
    name = str(config.get("scheduler") or "").lower()
    if name == "noamlr":
        size = float(conf.get("model_size", 320))
        return rate / math.sqrt(size * float(conf.get("warmup_steps", 25000)))
    if name == "piecewiselinearwarmuplr":
        return max(map(float, conf.get("warmup_lr_list", [1e-3])))
    if name in ("onecyclelr", "cycliclr"):
        return float(conf.get("max_lr", rate))
    return rate


def batch_options(config: Mapping[str, Any], speech_sizes: list[int]) -> dict[str, Any]:
    """Return the options of batches: those of the model's training, or smaller ones.

    Few data in large batches would be too few updates.

    Args:
        config: training config of the model.
        speech_sizes: values of each utterance of audio.
    """
    number, total = len(speech_sizes), sum(speech_sizes)
    size = max(number // ENOUGH_BATCHES, SMALLEST_BATCH)
    bins = max(total // ENOUGH_BATCHES, SMALLEST_BATCH * total // number)
    options: dict[str, Any] = {
        "batch_size": min(int(config.get("batch_size") or 20), size)
    }
    if config.get("batch_type") in ("numel", "length"):
        bins = min(int(config.get("batch_bins") or 1000000), bins)
        # A batch holds at least the longest utterance.
        return {
            "batch_type": "numel",
            "batch_bins": max(bins, int(1.1 * max(speech_sizes))),
        }
    kind = config.get("batch_type")
    return {**options, "batch_type": "unsorted" if kind == "unsorted" else "sorted"}


def derived_config(
    config: Mapping[str, Any],
    task: type[Any],
    model_file: Path,
    adaptive: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the model's training config with gates, without data and length.

    Args:
        config: the model's own config, completed.
        task: ESPnet task class.
        model_file: the model, from which the training starts and which teaches.
        adaptive: options of adaptive dropout that the user chose.
    """
    known = vars(task.get_parser().parse_args([]))
    new = {
        name: copy.deepcopy(value)
        for name, value in config.items()
        if name in known
        and name not in _LEFT_OUT
        and not name.startswith(_LEFT_OUT_PREFIXES)
    }
    entry = encoder_entry(config)
    conf = {
        **dict(ramp_start=RAMP_START, ramp_end=RAMP_END, freeze_at=FREEZE_AT),
        **{name: value for name, value in adaptive.items() if value is not None},
    }
    if can_be_taught(config):
        conf.update(distillation=0.5, teacher=str(model_file.absolute()))
    options = {**entry.stock_options(config), "adaptive_dropout_conf": conf}
    new = entry.with_encoder(new, ADAPTIVE, options)
    best = "final_acc" if has_attention_decoder(config) else "final_loss"
    new["best_model_criterion"] = [["valid", best, "max" if "acc" in best else "min"]]
    new.update(
        init_param=[str(model_file.absolute())],
        max_epoch=EPOCHS,
        keep_nbest_models=AVERAGED,
        patience=None,
        iterator_type="sequence",
        num_att_plot=0,
        resume=True,
        **_optimizer(config),
    )
    for name in ("rir_scp", "noise_scp"):  # lists of files that are elsewhere
        if new.get(name) and not Path(str(new[name])).is_file():
            new[name] = None
    return new


def has_attention_decoder(config: Mapping[str, Any]) -> bool:
    """Whether the loss of a model has that of an attention decoder."""
    weight = float((config.get("model_conf") or {}).get("ctc_weight", 0.5))
    decoder = config.get("decoder")
    return bool(decoder) and decoder != "transducer" and weight < 1.0


def can_be_taught(config: Mapping[str, Any]) -> bool:
    """Whether a model has posteriors that a teacher's can be compared with."""
    if config.get("postencoder") or encoder_entry(config).options(config).get(
        "ctc_trim"
    ):
        return False
    weight = float((config.get("model_conf") or {}).get("ctc_weight", 0.5))
    return weight > 0.0 or config.get("decoder") == STOCK_DECODER


def _optimizer(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the optimizer of the model's training with a lower rate."""
    if str(config.get("optim", "")).lower() not in _ADAMS:
        return {"optim": "adam", "optim_conf": {"lr": USUAL_RATE}}
    rate = RATE_SHARE * peak_rate(config)
    return {"optim_conf": {**(config.get("optim_conf") or {}), "lr": rate}}


def with_data(
    derived: Mapping[str, Any],
    task: type[Any],
    config: dict[str, Any],
    data: Mapping[str, Written],
    epochs: int | None,
) -> tuple[dict[str, Any], Length]:
    """Add data, batches, length and schedule to a derived config.

    Args:
        derived: see :func:`derived_config`.
        task: ESPnet task class.
        config: the model's own config, completed.
        data: "train" and "valid" data directories, with texts.
        epochs: passes through the data; None takes the usual number.

    Returns:
        The training config and the length of the training.

    Raises:
        ValueError: the data cannot be read.
    """
    new = dict(derived)
    shapes = {part: shape_files(task, config, one) for part, one in data.items()}
    for part, one in data.items():
        new[f"{part}_data_path_and_name_and_type"] = [list(t) for t in one.triplets]
        new[f"{part}_shape_file"] = shapes[part]
    new.update(batch_options(config, sizes(shapes["train"][0])))
    accum_grad = int(new.get("accum_grad") or 1)
    batches = _batches(new, task)
    passes = epochs or usual_passes(batches, accum_grad)
    length = Length(batches, passes, accum_grad)
    new["num_iters_per_epoch"] = length.per_epoch
    new["scheduler"] = "onecyclelr"
    new["scheduler_conf"] = dict(
        max_lr=new["optim_conf"]["lr"],
        total_steps=length.updates + EPOCHS,
        pct_start=0.1,
        cycle_momentum=False,
    )
    return new, length


def _batches(config: Mapping[str, Any], task: type[Any]) -> int:
    """Count the batches in a pass, with ESPnet's own sampler."""
    from espnet2.samplers.build_batch_sampler import build_batch_sampler

    args = argparse.Namespace(**{**vars(task.get_parser().parse_args([])), **config})
    sampler = build_batch_sampler(
        type=args.batch_type,
        shape_files=args.train_shape_file,
        batch_size=args.batch_size,
        batch_bins=args.batch_bins,
        fold_lengths=[],
        sort_in_batch=args.sort_in_batch,
        sort_batch=args.sort_batch,
        drop_last=args.drop_last_iter,
        min_batch_size=1,
    )
    return len(list(sampler))
