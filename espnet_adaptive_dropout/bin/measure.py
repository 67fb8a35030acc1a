"""Sizes of a trained model: ``python -m espnet_adaptive_dropout.bin.measure``.

Prints one JSON object: encoder and total parameters (gates not counted) and the
encoder's multiply-accumulates for a 10 s utterance.
"""

from __future__ import annotations

import argparse
import json

from espnet_adaptive_dropout.bin.command import CommandLine, execute, new_parser
from espnet_adaptive_dropout.bin.cut_options import add_model_options

EXAMPLE = """\
adaprune measure --train_config exp/asr_x_compact/config.yaml \\
    --model_file exp/asr_x_compact/valid.final_acc.ave.pth"""


def get_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    parser = new_parser(
        "Print parameters and multiply-accumulates of a model as JSON.",
        EXAMPLE,
    )
    add_model_options(parser)
    return parser


def main(cmd: CommandLine = None) -> None:
    """Parse ``cmd``, count and print."""
    execute("measure", get_parser, lambda args: print(json.dumps(measure(args))), cmd)


def measure(args: argparse.Namespace) -> dict:
    """Load the model and count.

    Raises:
        ValueError: config and checkpoint cannot be read or do not match.
    """
    from espnet_adaptive_dropout.experiments.experiment import open_model
    from espnet_adaptive_dropout.experiments.sizes import sizes

    return sizes(open_model(args.task, args.train_config, args.model_file)[1])


if __name__ == "__main__":
    main()
