"""Command lines that consist of paths, all of them required."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Dict


def path_parser(description: str, options: Dict[str, str]) -> argparse.ArgumentParser:
    """A parser of ``--<name> PATH`` for every name.

    Args:
        description: of the command; its first line is shown.
        options: name -> what the path is.
    """
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    for name, text in options.items():
        parser.add_argument(f"--{name}", type=Path, required=True, help=text)
    return parser
