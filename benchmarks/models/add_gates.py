"""Lets a stock training go on with adaptive dropout, every unit still there.

Writes a checkpoint.pth with the stock model's weights and the optimizer's moments, and
gates at their initial logits, from which ESPnet's ``--resume true`` goes on with the
same epoch and learning rate. ``python -m benchmarks.models.add_gates``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import yaml

from benchmarks.models.path_options import path_parser
from espnet_adaptive_dropout.bin.command import CommandLine, execute


def get_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    options = {
        "checkpoint": "checkpoint.pth of the stock training",
        "train_config": "its config.yaml, as ESPnet wrote it",
        "run_config": "config with adaptive dropout",
        "new_run_config": "the same with the scale of the logits, to start with",
        "new_checkpoint": "checkpoint.pth to resume from",
    }
    return path_parser(__doc__, options)


def main(cmd: CommandLine = None) -> None:
    """Parse ``cmd`` and write."""
    execute("add_gates", get_parser, add_gates, cmd)


def add_gates(args: argparse.Namespace) -> None:
    """Write config and checkpoint of the training with adaptive dropout."""
    from benchmarks.files import save_torch, write_text
    from benchmarks.models import training_state as ts
    from espnet_adaptive_dropout.experiments.experiment import (
        build_model,
        load_config,
        load_task,
    )

    checkpoint = ts.load_checkpoint(args.checkpoint)
    run_config = load_config(args.run_config)
    steps = checkpoint["reporter"]["epoch"] * run_config["num_iters_per_epoch"]
    conf = run_config["encoder_conf"]["adaptive_dropout_conf"]
    conf["logit_scale"] = scale_of(args.run_config, conf["ramp_start"])

    stock = ts.model_of(args.train_config)
    changes = {name: run_config[name] for name in ("model", "encoder", "encoder_conf")}
    config = {**load_config(args.train_config), **changes}
    gated = build_model(load_task("asr"), config)
    gated.encoder.control.step.fill_(steps)
    gated.load_state_dict({**gated.state_dict(), **checkpoint["model"]})
    moved = ts.moved(
        checkpoint,
        ts.parameter_shapes(stock),
        ts.parameter_shapes(gated),
        lambda state: state,  # the gates are new and have no moments yet
    )
    save_torch(args.new_checkpoint, {**moved, "model": gated.state_dict()})
    write_text(args.new_run_config, yaml.safe_dump(run_config, sort_keys=False))


def scale_of(run_config: Path, begin: float) -> float:
    """Scale of logits that move from a share of the training on."""
    from espnet2.bin.asr_train import get_parser as training_parser

    from espnet_adaptive_dropout.plugin.training_length import logit_scale

    words = ["--config", str(run_config), "--output_dir", "unused"]
    args = training_parser().parse_args(words)
    total = args.max_epoch * args.num_iters_per_epoch
    return round(logit_scale(args, total, begin), 4)


if __name__ == "__main__":
    main()
