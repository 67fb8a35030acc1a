"""Files and directories that are there whole or not at all."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


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
