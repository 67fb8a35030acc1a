"""Gives a pruned model in training its full width back, zeros where it was cut.

Gradual pruning cuts again and again; each cut ranks the units of the full width, of
which those that are gone have weight zero. ``python -m benchmarks.models.widen``.
"""

from __future__ import annotations

import argparse

from benchmarks.models.path_options import path_parser
from espnet_adaptive_dropout.bin.command import CommandLine, execute


def get_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    options = {
        "checkpoint": "checkpoint.pth of the narrow training",
        "train_config": "config.yaml of the full-width training",
        "cut_dir": "what bin.prune made of that",
        "full_width": "checkpoint to write",
    }
    return path_parser(__doc__, options)


def main(cmd: CommandLine = None) -> None:
    """Parse ``cmd`` and write."""
    execute("widen", get_parser, widen, cmd)


def widen(args: argparse.Namespace) -> None:
    """Write the full-width checkpoint."""
    from benchmarks.files import save_torch
    from benchmarks.models import training_state as ts

    full = ts.model_of(args.train_config)
    narrow = ts.model_of(args.cut_dir / "config.yaml")
    where = ts.sources(full, ts.load_plan(args.cut_dir))
    checkpoint = ts.moved(
        ts.load_checkpoint(args.checkpoint),
        ts.parameter_shapes(narrow),
        ts.parameter_shapes(full),
        lambda state: ts.scatter(state, where, full.state_dict()),
    )
    save_torch(args.full_width, checkpoint)


if __name__ == "__main__":
    main()
