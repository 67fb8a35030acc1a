#!/usr/bin/env python3
"""Adds files to a zip archive under their paths; the archive is replaced when whole."""

from __future__ import annotations

import argparse
import zipfile
from pathlib import Path

from common import RecipeError, replacing, run_tool


def add(archive: Path, files: list[Path]) -> None:
    """Add files to an archive, in place of entries of the same names.

    Raises:
        RecipeError: It is no zip archive.
        OSError: A file cannot be read, or the archive cannot be written.
    """
    new = {path.as_posix(): path for path in files}
    try:
        with zipfile.ZipFile(archive) as old, replacing(archive, "wb") as stream:
            with zipfile.ZipFile(stream, "w") as out:
                for entry in old.infolist():
                    if entry.filename not in new:
                        out.writestr(entry, old.read(entry))
                for name, path in new.items():
                    out.write(path, name, zipfile.ZIP_DEFLATED)
    except zipfile.BadZipFile as error:
        raise RecipeError(f"{archive}: {error}") from None


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--zip", type=Path, required=True)
    parser.add_argument("files", type=Path, nargs="+")
    args = parser.parse_args()
    add(args.zip, args.files)
    print(f"{args.zip}: added {', '.join(path.name for path in args.files)}")


if __name__ == "__main__":
    run_tool(main)
