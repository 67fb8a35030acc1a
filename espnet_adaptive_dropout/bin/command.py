"""What all commands share: quiet start, one line for a mistake."""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import io
import logging
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable, Optional

import espnet_adaptive_dropout

CommandLine = Optional[Sequence[str]]


class HelpFormatter(
    argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter
):
    """Shows the default of an option that has one and does not describe it."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        described = "default" in (action.help or "")
        if described or action.default in (None, False) or action.default == []:
            return action.help
        return super()._get_help_string(action)


def new_parser(
    description: str, example: str, **options: Any
) -> argparse.ArgumentParser:
    """Make a parser whose help ends with an example.

    Args:
        description: what the command does.
        example: command line, shown as it is.
        options: further arguments of ``argparse.ArgumentParser``.
    """
    return argparse.ArgumentParser(
        description=description,
        epilog=f"example:\n{textwrap.indent(example, '  ')}",
        formatter_class=HelpFormatter,
        **options,
    )


def execute(
    name: str,
    get_parser: Callable[[], argparse.ArgumentParser],
    main: Callable[[argparse.Namespace], None],
    cmd: CommandLine = None,
) -> None:
    """Parse ``cmd`` (default: the command line) and run ``main`` with the result.

    The parser may exit by itself (usage); everything after is one line on error.
    """

    def start() -> None:
        _quieten(name)
        args = get_parser().parse_args(cmd)
        other = other_version()
        if other is not None:
            print(f"{name}: {other}", file=sys.stderr)
        main(args)

    run(name, start)


def run(name: str, main: Callable[[], None]) -> None:
    """Run ``main`` and end with one line where it fails.

    The exit code is 1 after a ValueError or OSError, and 130 after an interruption by
    the user.
    """
    try:
        main()
    except ValueError as error:
        sys.exit(f"{name}: {error}")
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        sys.exit(f"{name}: {where}{error.strerror or error}")
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        sys.exit(130)


def other_version() -> str | None:
    """Says which version runs where it is not the installed one, or None."""
    try:
        installed = importlib.metadata.version("espnet-adaptive-dropout")
    except importlib.metadata.PackageNotFoundError:
        return None
    if installed == espnet_adaptive_dropout.__version__:
        return None
    directory = Path(espnet_adaptive_dropout.__file__).parent
    return (
        f"version {espnet_adaptive_dropout.__version__} in {directory} runs, not the "
        f"installed version {installed}"
    )


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
