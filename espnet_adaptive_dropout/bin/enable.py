"""``python -m espnet_adaptive_dropout.bin.enable``: the plugin in plain commands.

Writes a ``.pth`` file into the site-packages of the Python that runs it, whose one
line makes every start of that Python register the plugin (a few milliseconds; nothing
of ESPnet is imported). ``python -m espnet2.bin...``, ``espnet transcribe`` and
``espnet.load`` then open its models as their own. ``--off`` removes the file.
"""

from __future__ import annotations

import argparse
import sysconfig
from pathlib import Path

from espnet_adaptive_dropout.bin.command import CommandLine, new_parser, run
from espnet_adaptive_dropout.experiments.files import write_text

NAME = "espnet_adaptive_dropout_enabled.pth"
# Silent where the package has been removed meanwhile.
LINE = (
    "import importlib.util as u; u.find_spec('espnet_adaptive_dropout') "
    "and __import__('espnet_adaptive_dropout')\n"
)

EXAMPLE = """\
adaprune enable
adaprune enable --off"""


def get_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    parser = new_parser(
        "Let plain ESPnet commands of this Python know the plugin.", EXAMPLE
    )
    parser.add_argument("--off", action="store_true", help="remove the switch")
    parser.add_argument(
        "--site_packages",
        type=Path,
        default=None,
        help="directory to write to; default: that of this Python",
    )
    return parser


def main(cmd: CommandLine = None) -> None:
    """Parse ``cmd`` and write or remove the file."""
    args = get_parser().parse_args(cmd)
    directory = args.site_packages or Path(sysconfig.get_path("purelib"))
    run("enable", lambda: disable(directory) if args.off else enable(directory))


def enable(directory: Path) -> None:
    """Write the switch into ``directory``, which Python must search for ``.pth``.

    Raises:
        ValueError: there is no such directory.
        OSError: it cannot be written to.
    """
    if not directory.is_dir():
        raise ValueError(f"{directory}: no such directory")
    path = directory / NAME
    write_text(path, LINE)
    print(f"{path}: written; ESPnet commands of this Python know the plugin")


def disable(directory: Path) -> None:
    """Remove the switch from ``directory`` if it is there.

    Raises:
        OSError: it cannot be removed.
    """
    path = directory / NAME
    if path.exists():
        path.unlink()
        print(f"{path}: removed")
    else:
        print(f"{path}: not there, the plugin was not enabled")


if __name__ == "__main__":
    main()
