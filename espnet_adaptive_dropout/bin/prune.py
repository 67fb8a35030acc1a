"""Prune a trained model: ``python -m espnet_adaptive_dropout.bin.prune``.

Reads an ESPnet experiment's config.yaml and a checkpoint and writes a new, ordinary
experiment directory: config.yaml with ``encoder: compact_conformer``, the smaller
model under the same file name, plan.yaml (which units stayed), certificate.json
(largest difference between masked and compact encoder on real audio) and report.md /
report.json. Nothing is written if the certificate does not hold.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from pathlib import Path

import torch
import yaml

from espnet_adaptive_dropout.bin.command import CommandLine, NewDirectory, run

PLAN = "plan.yaml"


def get_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    from espnet_adaptive_dropout.pruning.criteria import criterion_choices

    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--train_config", type=Path, required=True, help="config.yaml of the training")
    add("--model_file", type=Path, required=True, help="checkpoint, for example .pth")
    add("--output_dir", type=Path, required=True, help="new experiment directory")
    add(
        "--target_reduction",
        type=float,
        default=None,
        help="share of the encoder's parameters to remove; default: the trained target",
    )
    criterion_choices.add_arguments(parser)
    add("--task", default="asr", help="ESPnet task: module of espnet2.tasks")
    add(
        "--data",
        action="append",
        help="PATH,NAME,TYPE of audio for the certificate; default: validation data",
    )
    add("--utterances", type=int, default=4, help="utterances for the certificate")
    add("--tolerance", type=float, default=1e-5, help="of the certificate")
    return parser


def main(cmd: CommandLine = None) -> None:
    """Parse ``cmd``, prune, certify and write."""
    # The parser may exit by itself (usage); everything after is one line on error.
    args = get_parser().parse_args(cmd)
    run("prune", lambda: prune_to_directory(args))


def prune_to_directory(args: argparse.Namespace) -> None:
    """Run :func:`pruning.prune.prune` and write its result.

    Raises:
        ValueError: see there; or the output directory is something else's.
        OSError: the result cannot be written.
    """
    from espnet_adaptive_dropout.pruning.prune import PruneOptions, prune

    target = args.target_reduction
    if target is not None and not 0.0 < target < 1.0:
        raise ValueError(f"--target_reduction {target}: must be between 0 and 1")
    directory = NewDirectory(args.output_dir, PLAN)
    start = time.perf_counter()
    pruned = prune(
        PruneOptions(
            train_config=args.train_config,
            model_file=args.model_file,
            target_reduction=target,
            criterion=args.criterion,
            criterion_conf=args.criterion_conf,
            task=args.task,
            data=args.data,
            utterances=args.utterances,
            tolerance=args.tolerance,
        )
    )
    pruned.config["output_dir"] = str(args.output_dir)
    with directory as partial:
        _write(pruned, partial, args.model_file.name)
    report = pruned.report
    print(
        f"{args.output_dir}: {report['reduction']:.2%} of the encoder removed, "
        f"{report['before']['encoder_params']:,} -> "
        f"{report['after']['encoder_params']:,} parameters, largest difference "
        f"{pruned.certificate.largest_difference:.1e}, "
        f"{time.perf_counter() - start:.1f} s"
    )


def _write(pruned, directory: Path, model_name: str) -> None:
    from espnet_adaptive_dropout.pruning.report import to_markdown

    def dump_yaml(name: str, content) -> None:
        with open(directory / name, "w", encoding="utf-8") as file:
            yaml.safe_dump(content, file, sort_keys=False, allow_unicode=True)

    def dump_json(name: str, content) -> None:
        text = json.dumps(content, indent=2) + "\n"
        (directory / name).write_text(text, encoding="utf-8")

    dump_yaml("config.yaml", pruned.config)
    dump_yaml(PLAN, pruned.plan.to_dict())
    dump_json("certificate.json", pruned.certificate.to_dict())
    dump_json("report.json", pruned.report)
    (directory / "report.md").write_text(to_markdown(pruned.report), encoding="utf-8")
    try:
        torch.save(pruned.state, directory / model_name)
    except RuntimeError as error:  # PyTorch's word for a full disk
        raise OSError(f"cannot write {directory / model_name}: {error}") from error


if __name__ == "__main__":
    logging.captureWarnings(True)
    main()
