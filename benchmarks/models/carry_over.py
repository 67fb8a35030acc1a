"""Lets a training go on from a pruned model as if it had always been that narrow.

Writes the training config of the pruned model and a checkpoint.pth with its weights
and the optimizer's moments of the kept units, from which ESPnet's ``--resume true``
goes on with the same epoch and learning rate..
"""

from __future__ import annotations

import argparse

import yaml

from benchmarks.models.path_options import path_parser
from espnet_adaptive_dropout.bin.command import CommandLine, execute


def get_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    options = {
        "checkpoint": "checkpoint.pth of the full-width training",
        "train_config": "its config.yaml, as ESPnet wrote it",
        "cut_dir": "what bin.prune made of it",
        "run_config": "the config that it was started with",
        "new_run_config": "config to start the narrow training with",
        "new_checkpoint": "checkpoint.pth to resume it from",
    }
    return path_parser(__doc__, options)


def main(cmd: CommandLine = None) -> None:
    """Parse ``cmd`` and write."""
    execute("carry_over", get_parser, carry_over, cmd)


def carry_over(args: argparse.Namespace) -> None:
    """Write config and checkpoint of the narrow training."""
    from benchmarks.files import save_torch, write_text
    from benchmarks.models import training_state as ts

    run_config = yaml.safe_load(args.run_config.read_text(encoding="utf-8"))
    cut_config = yaml.safe_load((args.cut_dir / "config.yaml").read_text("utf-8"))
    run_config["encoder"] = cut_config["encoder"]
    run_config["encoder_conf"] = cut_config["encoder_conf"]

    full = ts.model_of(args.train_config)
    narrow = ts.model_of(args.cut_dir / "config.yaml")
    where = ts.sources(full, ts.load_plan(args.cut_dir))
    checkpoint = ts.moved(
        ts.load_checkpoint(args.checkpoint),
        ts.parameter_shapes(full),
        ts.parameter_shapes(narrow),
        lambda state: ts.gather(state, where),
    )
    narrow.load_state_dict(checkpoint["model"])  # or an error says what differs
    save_torch(args.new_checkpoint, checkpoint)
    write_text(args.new_run_config, yaml.safe_dump(run_config, sort_keys=False))


if __name__ == "__main__":
    main()
