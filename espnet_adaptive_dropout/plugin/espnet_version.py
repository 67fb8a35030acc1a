"""The version of the ESPnet that runs, where a checkout precedes an installed one.

ESPnet takes its version from the installed distribution, even where its modules come
from a checkout of another version that precedes it on Python's path. What it writes
(config.yaml, the meta.yaml of a packed model) would name an ESPnet that did not run.
"""

from __future__ import annotations

import logging
import re
from importlib import metadata
from pathlib import Path
from types import ModuleType

# Where checkouts of different years keep their version, relative to ``espnet2``.
_VERSION_FILES = ("version.txt", "../version.txt", "../espnet/version.txt")
_PROJECT_FILE = "../pyproject.toml"


def correct_version(espnet2: ModuleType) -> None:
    """Give a checkout's ``espnet2`` its own version, and say that it is the one used.

    Args:
        espnet2: the package, just imported.
    """
    directory = Path(str(espnet2.__file__)).resolve().parent
    installed = _installed_elsewhere(directory)
    if installed is None:
        return
    version = _version_of(directory)
    vars(espnet2)["__version__"] = version
    if version != installed:
        logging.getLogger(__name__).warning(
            f"ESPnet {version} in {directory.parent} is used, not the installed "
            f"{installed}"
        )


def _installed_elsewhere(directory: Path) -> str | None:
    """Version of the installed ESPnet if ``directory`` is not its ``espnet2``."""
    try:
        distribution = metadata.distribution("espnet")
    except metadata.PackageNotFoundError:
        return None
    installed = Path(str(distribution.locate_file("espnet2")))
    # An editable installation has no such directory: its checkout is what it is.
    if not installed.is_dir() or installed.resolve() == directory:
        return None
    return distribution.version


def _version_of(directory: Path) -> str:
    """Version of the checkout that has ``directory``."""
    for name in _VERSION_FILES:
        path = directory / name
        if path.is_file():
            return path.read_text(encoding="utf-8").strip()
    project = directory / _PROJECT_FILE
    text = project.read_text(encoding="utf-8") if project.is_file() else ""
    found = re.search(r'^version\s*=\s*"([^"]+)"', text, re.MULTILINE)
    return found.group(1) if found else f"unknown ({directory.parent})"
