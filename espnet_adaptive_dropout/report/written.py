"""Reads what other commands of this package have written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Collection, Dict


def read_written(
    path: Path, option: str, maker: str, keys: Collection[str], lacks: str
) -> Dict[str, Any]:
    """Read the JSON report of a command.

    Args:
        path: of the report.
        option: that named its directory, for the message.
        maker: the command, for the message.
        keys: what such a report has.
        lacks: what to say of one that does not.

    Raises:
        ValueError: it is not there or is something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(
            f"{path}: {error.strerror}; {option} takes what {maker} makes"
        ) from None
    except json.JSONDecodeError:
        raise ValueError(f"{path}: this is not JSON") from None
    if not isinstance(content, dict) or not set(keys) <= set(content):
        raise ValueError(f"{path}: not the report of {maker}: {lacks}")
    return content
