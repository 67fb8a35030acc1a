"""Options that ``prune`` and ``sweep``, and some other commands, have in common."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from espnet_adaptive_dropout.bin.command import options_from

if TYPE_CHECKING:
    from espnet_adaptive_dropout.pruning.options import PruneOptions


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Options that name the trained model."""
    add = parser.add_argument
    add("--train_config", type=Path, required=True, help="config.yaml of the training")
    add("--model_file", type=Path, required=True, help="checkpoint, for example .pth")
    add("--task", default="asr", help="ESPnet task: module of espnet2.tasks")


def add_cut_options(parser: argparse.ArgumentParser) -> None:
    """Options of the criterion and of the certificate."""
    from espnet2.utils.types import str2bool

    from espnet_adaptive_dropout.pruning.criteria import criterion_choices
    from espnet_adaptive_dropout.pruning.part import OF
    from espnet_adaptive_dropout.units.cost import COSTS
    from espnet_adaptive_dropout.units.table import BUDGETS

    criterion_choices.add_arguments(parser)
    add = parser.add_argument
    add(
        "--of",
        choices=OF,
        help="what the target counts: encoder, decoder or both as one (model), whose "
        "units then compete; default: what was trained with adaptive dropout, the "
        "encoder first",
    )
    add("--cost", choices=COSTS, help="default: what the training counted")
    add(
        "--cost_frames",
        type=int,
        help="input frames at which MACs are counted; default: the training's (1000)",
    )
    for name, what, usual in (("tokens", "tokens", 40), ("beam", "hypotheses", 10)):
        add(
            f"--cost_{name}",
            type=int,
            help=f"{what} of the search at which a decoder's MACs are counted; "
            f"default: the training's ({usual})",
        )
    add(
        "--budget",
        choices=BUDGETS,
        help="parts of the encoder that lose the same share; default: as in the "
        "training, or the whole encoder",
    )
    add(
        "--multiple_of",
        type=int,
        help="widths become multiples of it; default: as in the training, or 1",
    )
    add("--utterances", type=int, default=4, help="utterances for the certificate")
    add(
        "--tolerance",
        type=float,
        default=1e-9,
        help="largest difference that the certificate allows, in double precision",
    )
    add(
        "--allow_unfrozen",
        type=str2bool,
        default=False,
        help="cut a checkpoint from before the training froze its size",
    )
    add(
        "--compact_decoder",
        type=str2bool,
        default=False,
        help="replace the decoder 'transformer' by the faster one of the same weights",
    )
    add(
        "--repair",
        type=str2bool,
        default=False,
        help="after the cut, solve the layers that lost inputs again on audio",
    )
    add("--repair_utterances", type=int, default=128, help="utterances to repair on")


def check_target(target: float | None) -> None:
    """Refuse a share that is not between 0 and 1, with a ValueError."""
    if target is not None and not 0.0 < target < 1.0:
        raise ValueError(f"--target_reduction {target}: must be between 0 and 1")


def check_data_options(args: argparse.Namespace) -> None:
    """Refuse wrong values of the options that name data, with a ValueError."""
    from espnet_adaptive_dropout.experiments.data import as_triplet

    if args.utterances < 1:
        raise ValueError(f"--utterances {args.utterances}: must be 1 or more")
    for item in args.data or []:
        try:
            as_triplet(item)
        except ValueError as error:
            raise ValueError(f"--data {error}") from None


def cut_options(args: argparse.Namespace, target: float | None = None) -> PruneOptions:
    """Check the options of a command line and make PruneOptions of them.

    Raises:
        ValueError: an option is out of range.
    """
    from espnet_adaptive_dropout.pruning.prune import PruneOptions

    check_data_options(args)
    if not 0.0 < args.tolerance < float("inf"):
        raise ValueError(f"--tolerance {args.tolerance}: must be a number above 0")
    numbers = ("cost_frames", "cost_tokens", "cost_beam", "multiple_of")
    for name in (*numbers, "repair_utterances"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise ValueError(f"--{name} {value}: must be 1 or more")
    return options_from(PruneOptions, args, target_reduction=target)
