"""Make an existing model smaller: ``python -m espnet_adaptive_dropout.bin.compress``.

Takes a model in any form in which ESPnet's models are kept (a packed zip, the name of a
published model, an experiment directory, a config.yaml with a checkpoint) and
directories of audio, with or without transcripts. The result is an experiment and a
packed zip, with plan, certificate, model card, and a table of both models.
"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from espnet_adaptive_dropout.bin.command import (
    CommandLine,
    execute,
    new_parser,
    options_from,
)
from espnet_adaptive_dropout.bin.cut_options import (
    add_cut_options,
    check_target,
    cut_options,
)
from espnet_adaptive_dropout.experiments.large_tensors import return_large_tensors

EXAMPLE = """\
adaprune compress asr_model.zip --target_reduction 0.5 --data my_recordings \\
    --output_dir exp/asr_small"""


def get_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    from espnet2.utils.types import str2bool

    parser = new_parser("Make a model that exists smaller.", EXAMPLE)
    add = parser.add_argument
    add(
        "model",
        metavar="MODEL",
        help="packed file (.zip), name of a published model, experiment directory, or "
        "config.yaml",
    )
    add("--model_file", type=Path, help="checkpoint, where MODEL leaves it open")
    add("--task", help="ESPnet task: module of espnet2.tasks; default: MODEL says it")
    add(
        "--target_reduction",
        type=float,
        default=0.5,
        help="share of the encoder's --cost to remove",
    )
    add(
        "--data",
        nargs="+",
        action="extend",
        metavar="DIR",
        help="data directories of a recipe (data/dev, dump/raw/dev), or folders of "
        "audio files; default: the training data of an experiment",
    )
    add("--output_dir", type=Path, required=True, help="new experiment directory")
    add(
        "--held_out",
        help="share of the utterances to compare both models on, or a directory of "
        "them; default: 0.1, at least 8 utterances, at most 300 and 20 minutes",
    )
    add(
        "--train",
        choices=("short", "none"),
        default="short",
        help="none: rank, cut and repair, in minutes; short: then train the small "
        "model, the original one teaches",
    )
    add(
        "--locations",
        nargs="+",
        default=["all"],
        help="what to cut, see docs/method.md",
    )
    add(
        "--minutes",
        type=float,
        default=15.0,
        help="most minutes of audio to rank and to repair on, with --train none",
    )
    add(
        "--epochs",
        type=float,
        help="passes of the training through the data, for example 1.5; default: 1.5, "
        "or as many as give 1000 updates, at most 50",
    )
    add(
        "--train_args",
        type=shlex.split,
        default=[],
        metavar="'OPTION ...'",
        help="further options of ESPnet's training command, as one word",
    )
    add("--inference_config", type=Path, help="recognise as this ESPnet config says")
    add("--ngpu", type=int, default=0, help="GPUs to train on; one recognises")
    add(
        "--keep_work",
        type=str2bool,
        default=False,
        help="leave DIR.work, with the unpacked model and the prepared data",
    )
    add_cut_options(parser)
    parser.set_defaults(criterion="taylor", repair=True)
    return parser


def main(cmd: CommandLine = None) -> None:
    """Parse ``cmd``, compress, and show the table."""
    execute("compress", get_parser, run, cmd)


def run(args: argparse.Namespace) -> None:
    """Run :func:`compress.compress.compress`.

    Raises:
        ValueError, OSError: see there.
    """
    return_large_tensors()
    from espnet_adaptive_dropout.compress.compress import compress
    from espnet_adaptive_dropout.compress.options import CompressOptions
    from espnet_adaptive_dropout.pruning.sweep.errors import error_counts

    check_target(args.target_reduction)
    if not args.minutes > 0.0:
        raise ValueError(f"--minutes {args.minutes}: must be above 0")
    if args.epochs is not None and not args.epochs > 0.0:
        raise ValueError(f"--epochs {args.epochs}: must be above 0")
    if args.ngpu < 0:
        raise ValueError(f"--ngpu {args.ngpu}: must be 0 or more")
    error_counts({}, {})  # raises where jiwer is missing
    directories, args.data = args.data or [], None
    cut = cut_options(args, args.target_reduction)
    compress(options_from(CompressOptions, args, data=directories, cut=cut))
    print((args.output_dir / "compress.md").read_text(encoding="utf-8"), end="")


if __name__ == "__main__":
    main()
