"""What all commands share: quiet start, one line for a mistake, atomic output."""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import os
import shutil
import sys
from pathlib import Path
from typing import Callable, Optional, Sequence

CommandLine = Optional[Sequence[str]]


def execute(
    name: str,
    get_parser: Callable[[], argparse.ArgumentParser],
    main: Callable[[argparse.Namespace], None],
    cmd: CommandLine = None,
) -> None:
    """Parse ``cmd`` (default: the command line) and run ``main`` with the result.

    The parser may exit by itself (usage); everything after is one line on error.
    """
    _quieten(name)
    args = get_parser().parse_args(cmd)
    run(name, lambda: main(args))


def run(name: str, main: Callable[[], None]) -> None:
    """Run ``main``; a ValueError or OSError becomes one line and exit code 1."""
    try:
        main()
    except ValueError as error:
        sys.exit(f"{name}: {error}")
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        sys.exit(f"{name}: {where}{error.strerror or error}")


def _quieten(name: str) -> None:
    """Show our own warnings but not what ESPnet says whenever it builds a model.

    ESPnet logs through the root logger, and prints to stderr, when it is imported,
    that flash attention is not installed.
    """
    logging.basicConfig(level=logging.ERROR, format=f"{name}: %(message)s")
    logging.captureWarnings(True)
    logging.getLogger("espnet_adaptive_dropout").setLevel(logging.WARNING)
    with contextlib.redirect_stderr(io.StringIO()):
        import espnet_adaptive_dropout.compat  # noqa: F401


class NewDirectory:
    """Fills a directory under a temporary name and renames it when all is there.

    A directory of that name is replaced if it holds the file ``marker``, which
    shows that the same command made it.

    Args:
        path: of the directory.
        marker: name of a file in it.

    Raises:
        ValueError: something else is there already.
    """

    def __init__(self, path: Path, marker: str):
        self.path = Path(path)
        self.partial = self.path.with_name(self.path.name + ".partial")
        taken = self.path.exists() and (
            not self.path.is_dir() or any(self.path.iterdir())
        )
        if taken and not (self.path / marker).exists():
            raise ValueError(
                f"{path}: exists and was not made by this command; choose another "
                f"--output_dir or remove it"
            )

    def __enter__(self) -> Path:
        shutil.rmtree(self.partial, ignore_errors=True)
        self.partial.mkdir(parents=True)
        return self.partial

    def __exit__(self, kind, error, traceback) -> None:
        if kind is not None:
            shutil.rmtree(self.partial, ignore_errors=True)
            return
        old = self.path.with_name(self.path.name + ".old")
        shutil.rmtree(old, ignore_errors=True)
        if self.path.exists():
            os.replace(self.path, old)
        os.replace(self.partial, self.path)
        shutil.rmtree(old, ignore_errors=True)
