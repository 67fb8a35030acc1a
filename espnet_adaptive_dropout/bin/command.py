"""Parsers, start and error messages of all commands."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib.metadata
import io
import logging
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable, Optional, TypeVar

import espnet_adaptive_dropout

CommandLine = Optional[Sequence[str]]
T = TypeVar("T")


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


def options_from(kind: type[T], args: argparse.Namespace, **values: Any) -> T:
    """Make the dataclass ``kind`` of the parsed options of the same names.

    Args:
        kind: dataclass.
        args: parsed command line.
        values: fields that differ from the command line or are not on it.
    """
    fields = dataclasses.fields(kind)  # type: ignore[arg-type]
    parsed = {f.name: getattr(args, f.name) for f in fields if f.name in args}
    return kind(**{**parsed, **values})


def execute(
    name: str,
    get_parser: Callable[[], argparse.ArgumentParser],
    main: Callable[[argparse.Namespace], None],
    cmd: CommandLine = None,
) -> None:
    """Parse ``cmd`` (default: the command line) and run ``main`` with the result.

    Errors end the command as :func:`run` says.
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
    """Run ``main``; print one line where it fails.

    A ValueError or OSError ends the command with status 1, an interruption by the user
    with 130.
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
    """Return a line that names the running version if it is not the installed one."""
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
    """Show warnings of this package, but not what ESPnet logs for every model.

    ESPnet uses the root logger. When it is imported it also prints to stderr that
    flash attention is not installed.
    """
    logging.basicConfig(level=logging.ERROR, format=f"{name}: %(message)s")
    logging.captureWarnings(True)
    logging.getLogger("espnet_adaptive_dropout").setLevel(logging.WARNING)
    with contextlib.redirect_stderr(io.StringIO()):
        import espnet_adaptive_dropout.compat  # noqa: F401
