"""What all commands share: quiet start, one line for a mistake."""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import sys
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
