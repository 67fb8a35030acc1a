"""The console command ``adaprune``: one name for all commands of the package.

``adaprune prune ...`` is ``python -m espnet_adaptive_dropout.bin.prune ...``. The list
of commands and the version are shown without importing ESPnet or PyTorch.
"""

from __future__ import annotations

import argparse
import importlib
import sys

from espnet_adaptive_dropout import __version__
from espnet_adaptive_dropout.bin.command import CommandLine, new_parser

# Command -> what it does. Each is a module of this package with a ``main``.
COMMANDS = {
    "compress": "make a model that exists smaller, with or without a training",
    "prune": "cut a trained model to a size",
    "sweep": "cut one checkpoint to many sizes and score each",
    "report": "tables and plots of a training and its pruned model",
    "export": "write the encoder as ONNX and in int8, and measure both",
    "measure": "print parameters and multiply-accumulates of a model as JSON",
    "enable": "let plain ESPnet commands of this Python know the plugin",
}

EXAMPLE = """\
adaprune prune --train_config exp/asr_x/config.yaml \\
    --model_file exp/asr_x/valid.final_acc.ave.pth --output_dir exp/asr_x_compact

adaprune COMMAND --help lists the options of a command."""


def get_parser() -> argparse.ArgumentParser:
    """Parser of the command's name; the command parses its options itself."""
    width = max(map(len, COMMANDS))
    names = "\n".join(f"  {name:{width}}  {what}" for name, what in COMMANDS.items())
    parser = new_parser(
        "Prune Conformers that were trained with adaptive dropout in ESPnet."
        f"\n\ncommands:\n{names}",
        example=EXAMPLE,
        prog="adaprune",
        usage="adaprune [-h] [--version] COMMAND [options]",
    )
    version = f"espnet-adaptive-dropout {__version__}"
    parser.add_argument("--version", action="version", version=version)
    parser.add_argument(
        "command",
        nargs=argparse.PARSER,
        choices=COMMANDS,
        metavar="COMMAND",
        help=argparse.SUPPRESS,
    )
    return parser


def main(cmd: CommandLine = None) -> None:
    """Run the command that ``cmd`` (default: the command line) begins with."""
    name, *options = get_parser().parse_args(cmd).command
    command = importlib.import_module(f"espnet_adaptive_dropout.bin.{name}")
    # argparse takes the name that it shows in usage lines from here.
    sys.argv = [f"adaprune {name}", *options]
    command.main()


if __name__ == "__main__":
    main()
