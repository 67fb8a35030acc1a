"""Prune a trained model: ``python -m espnet_adaptive_dropout.bin.prune``.

Reads an ESPnet experiment's config.yaml and a checkpoint and writes a new, ordinary
experiment directory: config.yaml with the compact encoder, decoder or both, the smaller
model under the same file name, plan.yaml (which units stay), certificate.json (largest
difference between what is masked and what is cut), report.md, report.json and the
training's images.
Nothing is written if the certificate does not hold. ``--dry_run`` prints the plan
instead: every row and column that would be removed, and the sizes.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from espnet_adaptive_dropout.bin.command import (
    CommandLine,
    execute,
    new_parser,
)
from espnet_adaptive_dropout.bin.cut_options import (
    add_cut_options,
    add_model_options,
    check_target,
    cut_options,
)
from espnet_adaptive_dropout.experiments.files import new_directory
from espnet_adaptive_dropout.experiments.large_tensors import return_large_tensors

if TYPE_CHECKING:
    import torch

    from espnet_adaptive_dropout.pruning.options import PruneOptions
    from espnet_adaptive_dropout.pruning.plan import PruningPlan
    from espnet_adaptive_dropout.pruning.trained import Trained

EXAMPLE = """\
adaprune prune --train_config exp/asr_x/config.yaml \\
    --model_file exp/asr_x/valid.final_acc.ave.pth \\
    --output_dir exp/asr_x_compact --target_reduction 0.3"""


def get_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    parser = new_parser(
        "Cut a trained model to a size and write it as an ordinary experiment.", EXAMPLE
    )
    add = parser.add_argument
    add_model_options(parser)
    add("--output_dir", type=Path, help="new experiment directory")
    add(
        "--target_reduction",
        type=float,
        help="share to remove of the --cost of --of; default: the trained target",
    )
    add(
        "--data",
        action="append",
        help="PATH,NAME,TYPE of audio for the certificate and the repair and, given "
        "again, of its text, to repair a decoder on; default: validation data",
    )
    add_cut_options(parser)
    add(
        "--dry_run",
        action="store_true",
        help="print the rows and columns to remove and the sizes; write nothing",
    )
    return parser


def main(cmd: CommandLine = None) -> None:
    """Parse ``cmd``, prune, certify and write."""
    execute("prune", get_parser, run, cmd)


def run(args: argparse.Namespace) -> None:
    """Print the plan or write the pruned experiment.

    Raises:
        ValueError: an option, the config, the checkpoint or the data are refused,
            the certificate does not hold, or the output directory is missing on the
            command line or was not made by this command.
        OSError: the result cannot be written.
    """
    return_large_tensors()
    if not (args.compact_decoder and args.target_reduction == 0.0):
        check_target(args.target_reduction)
    if args.dry_run:
        print_plan(args)
    elif args.output_dir is None:
        raise ValueError("--output_dir is required (or --dry_run, which only prints)")
    else:
        prune_to_directory(args)


def open_and_plan(
    args: argparse.Namespace,
) -> tuple[Trained, torch.Tensor, PruningPlan, PruneOptions]:
    """Return the trained experiment, the units that stay, the plan, and the options.

    Raises:
        ValueError: an option, the config or the checkpoint is refused.
    """
    from espnet_adaptive_dropout.pruning.checks import check_repair
    from espnet_adaptive_dropout.pruning.open_trained import open_trained
    from espnet_adaptive_dropout.pruning.prune import plan_all, plan_units, rank

    options = cut_options(args, args.target_reduction)
    trained = open_trained(
        args.train_config,
        args.model_file,
        args.task,
        args.data,
        allow_unfrozen=args.allow_unfrozen,
        of=args.of,
    )
    check_repair(trained, options)
    if options.target_reduction == 0.0:
        keep, plan = plan_all(trained, options)
    else:
        keep, plan = plan_units(trained, rank(trained, options), options)
    return trained, keep, plan, options


def print_plan(args: argparse.Namespace) -> None:
    """Print the plan (``--dry_run``)."""
    from espnet_adaptive_dropout.pruning.dry_run import describe

    trained, keep, plan, _ = open_and_plan(args)
    print(describe(trained, keep))
    macs = f" and {plan.cost_reduction:.2%} of MACs" if plan.cost == "macs" else ""
    print(
        f"\n{plan.reduction:.2%} of the {plan.of}'s parameters{macs} would go"
        f"{_of_parts(plan.reductions)}; nothing was written"
    )


def prune_to_directory(args: argparse.Namespace) -> None:
    """Prune into ``--output_dir``."""
    from espnet_adaptive_dropout.pruning.write import (
        FORMER,
        PLAN,
        share_images,
        write_experiment,
    )

    start = time.perf_counter()
    with new_directory(args.output_dir, PLAN, FORMER) as partial:
        report = write_experiment(*open_and_plan(args), partial, args.output_dir)
        share_images(args.train_config.parent, partial)
    certificate = report["certificate"]
    before, after = report["before"], report["after"]
    sizes = ", ".join(
        f"{before[f'{kind}_params']:,} -> {after[f'{kind}_params']:,} parameters"
        for kind in report["reductions"]
    )
    decoder = ""
    if "decoder" in report["reductions"]:
        exact = certificate["decoder"]["largest_difference"]
        decoder = f" (decoder: {exact:.1e})"
    print(
        f"{args.output_dir}: {report['reduction']:.2%} of the {report['of']} removed"
        f"{_of_parts(report['reductions'])}, {sizes}, largest difference "
        f"{certificate['largest_difference']:.1e} in double precision{decoder}, "
        f"{certificate['rounding']:.1e} in {certificate['dtype']}, "
        f"{time.perf_counter() - start:.1f} s"
    )


def _of_parts(reductions: dict[str, float]) -> str:
    """Shares of encoder and decoder, where both were cut."""
    if len(reductions) == 1:
        return ""
    each = (f"{share:.2%} of the {kind}" for kind, share in reductions.items())
    return f" ({', '.join(each)})"


if __name__ == "__main__":
    main()
