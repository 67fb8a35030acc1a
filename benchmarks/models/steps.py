"""The commands that a run of the comparison consists of.

``python -m benchmarks.models.steps COMMAND``; ``benchmarks.compare`` starts them and
writes them into each run's commands.sh. Those that write a ``checkpoint.pth`` change
the widths of a training in progress: ESPnet's ``--resume true`` goes on from it with
the same epoch, learning rate and moments of the optimizer.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Callable

import yaml

from benchmarks.files import save_torch, write_yaml
from benchmarks.models.score import score
from benchmarks.models.torch_prune import torch_prune
from espnet_adaptive_dropout.bin.command import CommandLine, execute
from espnet_adaptive_dropout.units.surgery import narrow_all

# Every other option is a path.
TYPES = {"target_reduction": float, "valid": str, "distillation": float}
OPTIONAL = ("distillation",)


def main(cmd: CommandLine = None) -> None:
    """Parse ``cmd`` and run the command that it names."""
    execute("steps", get_parser, lambda args: COMMANDS[args.command][0](args), cmd)


def get_parser() -> argparse.ArgumentParser:
    """Options of all commands."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (run, options) in COMMANDS.items():
        summary = run.__doc__.splitlines()[0]
        command = commands.add_parser(name, help=summary, description=summary)
        for option, text in options.items():
            type_ = TYPES.get(option, Path)
            needed = option not in OPTIONAL
            command.add_argument(f"--{option}", type=type_, required=needed, help=text)
    return parser


def add_gates(args: argparse.Namespace) -> None:
    """Give a stock training gates, all of them open."""
    from benchmarks.models import training_state as ts
    from espnet_adaptive_dropout.experiments.experiment import (
        build_model,
        load_config,
        load_task,
    )

    checkpoint = ts.load_checkpoint(args.checkpoint)
    run_config = load_config(args.run_config)
    steps = checkpoint["reporter"]["epoch"] * run_config["num_iters_per_epoch"]

    stock = ts.new_model(args.train_config)
    changes = {name: run_config[name] for name in ("model", "encoder", "encoder_conf")}
    config = {**load_config(args.train_config), **changes}
    gated = build_model(load_task("asr"), config)
    gated.encoder.control.step.fill_(steps)
    gated.load_state_dict({**gated.state_dict(), **checkpoint["model"]})
    # The gates are new and have no moments yet.
    resized = ts.resized(checkpoint, stock, gated, lambda state: state)
    save_torch(args.new_checkpoint, {**resized, "model": gated.state_dict()})
    write_yaml(args.new_run_config, run_config)


def carry_over(args: argparse.Namespace) -> None:
    """Let a training go on from its pruned model."""
    from benchmarks.models import training_state as ts

    run_config = yaml.safe_load(args.run_config.read_text(encoding="utf-8"))
    cut_config = yaml.safe_load((args.cut_dir / "config.yaml").read_text("utf-8"))
    run_config["encoder"] = cut_config["encoder"]
    run_config["encoder_conf"] = cut_config["encoder_conf"]
    if args.distillation is not None:
        taught = dict(teacher=str(args.checkpoint), distillation=args.distillation)
        run_config["encoder_conf"].update(taught)

    full = ts.new_model(args.train_config)
    narrow = ts.new_model(args.cut_dir / "config.yaml")
    cuts = ts.cuts(full, ts.kept_units(full, args.cut_dir))
    resized = ts.resized(
        ts.load_checkpoint(args.checkpoint),
        full,
        narrow,
        lambda state: narrow_all(state, cuts),
    )
    narrow.load_state_dict(resized["model"])  # fails if any shape is wrong
    save_torch(args.new_checkpoint, resized)
    write_yaml(args.new_run_config, run_config)


def widen(args: argparse.Namespace) -> None:
    """Give a pruned training its full width back, zeros where it was cut.

    Gradual pruning cuts several times; each cut ranks the units of the full width.
    """
    from benchmarks.models import training_state as ts

    full = ts.new_model(args.train_config)
    narrow = ts.new_model(args.cut_dir / "config.yaml")
    cuts = ts.cuts(full, ts.kept_units(full, args.cut_dir))
    resized = ts.resized(
        ts.load_checkpoint(args.checkpoint),
        narrow,
        full,
        lambda state: ts.widen(state, cuts, full.state_dict()),
    )
    save_torch(args.full_width, resized)


def prune_again(args: argparse.Namespace) -> None:
    """Prune a model that was cut before by the magnitude of its remaining units.

    ``magnitude`` relates a unit to the mean of its group. With the removed units
    counted as zeros, the rest of a group that has lost much would look important.
    """
    from espnet_adaptive_dropout.bin import prune
    from espnet_adaptive_dropout.pruning.criteria import Magnitude, criterion_choices

    class SurvivorMagnitude(Magnitude):
        """Norm of a unit's weights relative to the mean of the remaining units."""

        def __call__(self, table, trained):
            scores, candidates = super().__call__(table, trained)
            return relative_to_survivors(table, scores), candidates

    criterion_choices.classes["survivor_magnitude"] = SurvivorMagnitude
    options = {name: getattr(args, name) for name in COMMANDS["prune_again"][1]}
    options["criterion"] = "survivor_magnitude"
    words = [(f"--{name}", str(value)) for name, value in options.items()]
    prune.main([word for pair in words for word in pair])


def relative_to_survivors(table: Any, scores: Any) -> Any:
    """Relate scores to the mean of the units of a group that are not zero.

    Args:
        table: unit table of the encoder.
        scores: relative to the mean of all units of the group, (units,).
    """
    scores = scores.clone()
    for group in table.groups:
        scores[group.span] *= (scores[group.span] > 0).float().mean()
    return scores


_CUT_DIR = {"cut_dir": "output directory of bin.prune"}
_NEW_TRAINING = {
    "new_run_config": "written: config to start the new training with",
    "new_checkpoint": "written: checkpoint.pth to resume it from",
}
_TRAINING = {
    "checkpoint": "checkpoint.pth of the training",
    "train_config": "config.yaml of the training at full width",
}
COMMANDS: dict[str, tuple[Callable[[argparse.Namespace], None], dict[str, str]]] = {
    "add_gates": (
        add_gates,
        {**_TRAINING, "run_config": "config with adaptive dropout", **_NEW_TRAINING},
    ),
    "carry_over": (
        carry_over,
        {
            **_TRAINING,
            **_CUT_DIR,
            "run_config": "config that the training was started with",
            "distillation": "weight of what the checkpoint then teaches",
            **_NEW_TRAINING,
        },
    ),
    "widen": (
        widen,
        {**_TRAINING, **_CUT_DIR, "full_width": "written: checkpoint.pth"},
    ),
    "prune_again": (
        prune_again,
        {
            "train_config": "config.yaml of the training",
            "model_file": "its checkpoint, at full width",
            "target_reduction": "share of the encoder to remove",
            "output_dir": "written: the pruned experiment",
        },
    ),
    "torch_prune": (
        torch_prune,
        {
            **_TRAINING,
            "run_config": "config that the training was started with",
            "target_reduction": "share of the encoder to remove",
            "output_dir": "gets run1.yaml and train1",
        },
    ),
    "score": (
        score,
        {
            "train_config": "config.yaml of the model",
            "model_file": "its weights",
            "sets": "JSON: name -> [data set, utterance ids]",
            "valid": "data set whose loss is reported",
            "output": "written: result.json",
        },
    ),
}


if __name__ == "__main__":
    main()
