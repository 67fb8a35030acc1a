"""What the recipe's tools share: one-line errors, safe writing, Kaldi-style tables."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from pathlib import Path


class RecipeError(Exception):
    """A fault in the user's data, options or machine, told in one line."""


def run_tool(main: Callable[[], None]) -> None:
    """Run a tool's main function; turn expected errors into one line and status 1.

    Args:
        main: The function to run; it raises ``RecipeError`` or ``OSError`` for what
            the user can mend.
    """
    try:
        main()
    except (RecipeError, OSError) as error:
        print(f"{Path(sys.argv[0]).name}: error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


@contextmanager
def replacing(path: Path, mode: str = "w"):
    """Open a file that takes its final name only when all has been written.

    Args:
        path: The final name; its directory is made.
        mode: ``"w"`` for UTF-8 text or ``"wb"``.

    Yields:
        The open stream.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        encoding = None if "b" in mode else "utf-8"
        with temporary.open(mode, encoding=encoding) as stream:
            yield stream
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_table(path: Path) -> dict[str, str]:
    """Read a table of ``key value...`` lines, keeping their order.

    Args:
        path: The file.

    Returns:
        The rest of the line, stripped, for every key.

    Raises:
        RecipeError: The file is missing, is not UTF-8, or has a key twice.
    """
    table: dict[str, str] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise RecipeError(f"{path} is missing: run the earlier stages first") from None
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path} is not UTF-8 text: {error}") from None
    for number, line in enumerate(lines, 1):
        key, _, value = line.strip().partition(" ")
        if not key:
            continue
        if key in table:
            raise RecipeError(f"{path}:{number}: {key} is there twice")
        table[key] = value.strip()
    return table


def write_table(path: Path, rows: Iterable[tuple[str, str]]) -> None:
    """Write ``key value`` lines in the byte order of the keys that Kaldi tools need."""
    ordered = sorted(rows, key=lambda row: row[0].encode())
    with replacing(path) as stream:
        for key, value in ordered:
            stream.write(f"{key} {value}".rstrip() + "\n")


def invert(utt2spk: dict[str, str]) -> dict[str, str]:
    """Return spk2utt for utt2spk."""
    speakers: dict[str, list[str]] = {}
    for utterance in sorted(utt2spk, key=str.encode):
        speakers.setdefault(utt2spk[utterance], []).append(utterance)
    return {speaker: " ".join(utterances) for speaker, utterances in speakers.items()}
