"""Kaldi tables such as ``text`` and ``wav.scp``."""

from __future__ import annotations

from pathlib import Path


def read_table(path: str | Path) -> dict[str, str]:
    """Read a table: the rest of each line by its first word, in the order of the file.

    Only newlines end a line, as for ESPnet; U+2028 and the like are part of a text.

    Raises:
        OSError: the file cannot be read.
    """
    with open(path, encoding="utf-8") as file:
        lines = [line.split(maxsplit=1) for line in file if line.strip()]
    return {line[0]: line[1].strip() if len(line) > 1 else "" for line in lines}
