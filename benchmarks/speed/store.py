"""What has been measured, on disk: one file a setting, kept from run to run."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path
from typing import Any, Dict, List

import torch

from benchmarks.files import read_json, write_json

ROOT = Path(__file__).resolve().parents[2]


class Store:
    """Results of one kind under a directory, by setting and row.

    Args:
        directory: of the kind.
        again: whether what is there counts as missing.
        hardware: what new results are measured on.
    """

    def __init__(self, directory: Path, again: bool = False, hardware: str = ""):
        self.directory = directory
        self.again = again
        self.hardware = hardware

    def path(self, key: str) -> Path:
        """File of a setting."""
        return self.directory / f"{key}.json"

    def read(self, key: str) -> Dict[str, Any]:
        """What is there: ``setting``, ``rows`` and ``missing``."""
        path = self.path(key)
        if path.exists():
            return read_json(path)
        return {"setting": {}, "rows": {}, "missing": {}}

    def todo(self, key: str, names: List[str]) -> List[str]:
        """Which rows have not been measured."""
        done = {} if self.again else self.read(key)["rows"]
        return [name for name in names if name not in done]

    def add(
        self,
        key: str,
        setting: Dict[str, Any],
        rows: Dict[str, Any],
        missing: Dict[str, str],
    ) -> None:
        """Add rows; those of the same name are replaced."""
        content = self.read(key)
        content["setting"] = setting
        about = {"hardware": self.hardware, **environment()}
        for name, row in rows.items():
            content["rows"][name] = {**row, "about": about}
            content["missing"].pop(name, None)
        content["missing"].update(missing)
        write_json(self.path(key), content)

    def all(self) -> List[Dict[str, Any]]:
        """All settings that are there, in the order of their names."""
        return [read_json(path) for path in sorted(self.directory.glob("*.json"))]


def environment() -> Dict[str, str]:
    """Versions that a time depends on."""
    import espnet2

    import espnet_adaptive_dropout

    git = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
    )
    return {
        "torch": torch.__version__,
        "espnet": getattr(espnet2, "__version__", "unknown"),
        "plugin": espnet_adaptive_dropout.__version__,
        "commit": git.stdout.strip() or "unknown",
        "python": platform.python_version(),
    }
