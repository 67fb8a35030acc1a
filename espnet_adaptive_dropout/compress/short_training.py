"""The short training: its config follows from the model's own and from the data.

The small model, cut and repaired, is trained for a fraction of the steps of the model's
own training, and the original model teaches it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from espnet_adaptive_dropout.compress.labels import has_source_ctc
from espnet_adaptive_dropout.compress.length import (
    AVERAGED,
    EPOCHS,
    Length,
    batch_options,
    batches_of,
    usual_passes,
)
from espnet_adaptive_dropout.compress.open_inference import ctc_weight
from espnet_adaptive_dropout.compress.shapes import shape_files, sizes
from espnet_adaptive_dropout.compress.written import Written
from espnet_adaptive_dropout.experiments.encoder_entry import (
    EXPORTED,
    STOCK_DECODER,
    encoder_entry,
)

# Peak learning rate as a share of that of the model's own training; and where the
# optimizer was none of Adam's family
RATE_SHARE, USUAL_RATE = 0.25, 2.5e-4
_ADAMS = ("adam", "adamw", "radam")
# Options of the model's training that are not those of this one
_LEFT_OUT = (
    *("config", "print_config", "dry_run", "collect_stats", "write_collected_feats"),
    *("output_dir", "ngpu", "resume", "version", "required", "distributed"),
    *("num_iters_per_epoch", "max_epoch", "patience", "init_param", "pretrain_path"),
    *("init", "scheduler", "scheduler_conf", "valid_batch_size", "valid_batch_bins"),
    *("multiple_iterator", "valid_max_cache_size", "iterator_type", "use_lightning"),
    *("valid_iterator_type", "valid_batch_type", "early_stopping_criterion"),
    *("use_wandb", "nbest_averaging_interval", "chunk_length"),
    *("use_deepspeed", "deepspeed_config", "save_strategy", "use_adapter"),
)
_LEFT_OUT_PREFIXES = (
    *("wandb_", "dist_", "local_rank", "multiprocessing_", "lightning"),
    *("train_data", "valid_data", "train_shape", "valid_shape"),
)


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


def derived_config(
    config: Mapping[str, Any],
    task: type[Any],
    small: Mapping[str, Any],
    small_file: Path,
    teacher: Path,
) -> dict[str, Any]:
    """Return the training config of the small model, without data and length.

    Args:
        config: the original model's own config, completed.
        task: ESPnet task class.
        small: config of the small model.
        small_file: the small model, from which the training starts.
        teacher: the original model, which teaches.
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
    for name in (entry.option, entry.decoder_option):
        for option in (name, f"{name}_conf"):
            if option in small:
                new[option] = copy.deepcopy(small[option])
    # Only the small encoder has the option.
    if can_be_taught(config) and new[entry.option] == EXPORTED:
        new[entry.conf].update(distillation=0.5, teacher=str(teacher.absolute()))
    best = "acc" if has_attention_decoder(config) else "loss"
    new["best_model_criterion"] = [["valid", best, "max" if best == "acc" else "min"]]
    new.update(
        init_param=[str(small_file.absolute())],
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
    conf = config.get("model_conf") or {}
    # In speech translation, the CTC of the source language has a weight of its own.
    weight = float(conf.get("st_mtlalpha", ctc_weight(config)))
    decoder = config.get("decoder")
    return bool(decoder) and decoder != "transducer" and weight < 1.0


def can_be_taught(config: Mapping[str, Any]) -> bool:
    """Whether a model has posteriors that a teacher's can be compared with."""
    if config.get("postencoder") or encoder_entry(config).options(config).get(
        "ctc_trim"
    ):
        return False
    if config.get("decoder") == STOCK_DECODER and has_attention_decoder(config):
        return True
    if config.get("src_token_list"):
        return has_source_ctc(config)
    return ctc_weight(config) > 0.0


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
    epochs: float | None,
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
    batches = batches_of(new, task)
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
