"""Files and directories that are there whole or not at all.

Temporary names are unique to a run and begin with a dot; a run removes only what it
has made itself.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import yaml

# Lists the files of a result, in the directory of the result.
MANIFEST = ".files.json"


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Gives a temporary path beside ``path`` to write to, and renames it at the end.

    After an error the temporary file is removed and ``path`` is as it was.
    """
    path = Path(path)
    handle, name = tempfile.mkstemp(
        dir=path.parent, prefix=f".{path.name}.", suffix=".partial"
    )
    os.close(handle)
    try:
        yield Path(name)
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: str | Path, content: Any, indent: int = 2) -> None:
    """Write JSON for people and programs, whole or not at all."""
    write_text(path, json.dumps(content, indent=indent) + "\n")


def write_yaml(path: str | Path, content: Any) -> None:
    """Write YAML in the order of the keys, whole or not at all."""
    write_text(path, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


@contextlib.contextmanager
def directory_lock(path: str | Path) -> Iterator[None]:
    """Keeps other runs out of the output directory ``path`` for a while.

    The lock is a file beside the directory and ends with the process at the latest.

    Raises:
        ValueError: another run has it.
    """
    path = Path(os.path.realpath(path))
    name = path.with_name(f".{path.name}.lock")
    with open(name, "w", encoding="utf-8") as file:
        if not _acquire(file, name):
            raise ValueError(
                f"{path}: another run is writing this directory; wait until it has "
                f"ended or choose another --output_dir"
            )
        try:
            yield
        finally:
            name.unlink(missing_ok=True)


def _acquire(file: IO, name: Path) -> bool:
    """Lock an open file; False where another run has the lock, or has removed it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return name.exists() and os.path.samestat(os.fstat(file.fileno()), name.stat())


def check_output_dir(path: str | Path) -> Path:
    """The real path of an output directory, links resolved.

    Raises:
        ValueError: it is the current directory (an empty path is, too) or above it.
    """
    real, here = Path(os.path.realpath(path)), Path.cwd()
    if real == here or real in here.parents:
        raise ValueError(
            f"--output_dir '{path}' is the current directory or above it; give the "
            f"name of a new directory"
        )
    return real


class NewDirectory:
    """Fills a directory under a temporary name and renames it when all is there.

    A directory of that name is replaced if the same command made it. Files that the
    user has put into it since are kept. A symbolic link stays one.

    Args:
        path: the directory.
        marker: name of a file that shows that the command made a directory.
        former: patterns of the file names that the command's releases without a
            list of files have written.

    Raises:
        ValueError: something else is there already, the path is the current
            directory, or another run is writing it (on entry).
    """

    def __init__(self, path: str | Path, marker: str, former: Sequence[str] = ()):
        self.path = check_output_dir(path)
        self.former = former
        taken = self.path.exists() and (
            not self.path.is_dir() or any(self.path.iterdir())
        )
        if taken and not (self.path / marker).exists():
            raise ValueError(
                f"{path}: exists and was not made by this command; choose another "
                f"--output_dir or remove it"
            )

    def __enter__(self) -> Path:
        with contextlib.ExitStack() as stack:
            stack.callback(_remove_empty, _make_parents(self.path))
            stack.enter_context(directory_lock(self.path))
            self.partial = Path(self._temporary("partial"))
            stack.callback(shutil.rmtree, self.partial, ignore_errors=True)
            self.partial.chmod(0o777 & ~_umask())
            self._stack = stack.pop_all()
        return self.partial

    def __exit__(
        self, kind: type[BaseException] | None, error: Any, traceback: Any
    ) -> None:
        with self._stack:
            if kind is None:
                self._commit()

    def _temporary(self, suffix: str) -> str:
        return tempfile.mkdtemp(
            dir=self.path.parent, prefix=f".{self.path.name}.", suffix=f".{suffix}"
        )

    def _commit(self) -> None:
        """Put the new directory into the place of the old, with the user's files."""
        new = _files(self.partial)
        write_json(self.partial / MANIFEST, new)
        if not self.path.exists():
            os.rename(self.partial, self.path)
            return
        old_files = _files(self.path)
        kept = sorted(set(old_files) - self._made_before(old_files))
        for name in kept:
            if (self.partial / name).exists():
                raise ValueError(
                    f"{self.path / name}: was not made by this command, which writes "
                    f"a file of that name; move it elsewhere"
                )
        old = Path(self._temporary("old")) / "old"
        os.rename(self.path, old)
        try:
            os.rename(self.partial, self.path)
        except OSError:
            os.rename(old, self.path)
            raise
        for name in kept:
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            os.rename(old / name, self.path / name)
        shutil.rmtree(old.parent, ignore_errors=True)

    def _made_before(self, names: list[str]) -> set[str]:
        """Those of the old directory's files that the command made."""
        try:
            content = (self.path / MANIFEST).read_text(encoding="utf-8")
            return {MANIFEST, *json.loads(content)}
        except (OSError, ValueError):
            tops = {name: Path(Path(name).parts[0]) for name in names}
            return {
                name
                for name, top in tops.items()
                if any(top.match(pattern) for pattern in self.former)
            }


def _files(directory: Path) -> list[str]:
    """Relative names of all files, links and empty directories in a directory."""
    found = []
    for root, folders, files in os.walk(directory):
        here = Path(root)
        links = [name for name in folders if (here / name).is_symlink()]
        found += [str((here / name).relative_to(directory)) for name in files + links]
        if here != directory and not folders and not files:
            found.append(str(here.relative_to(directory)))
    return sorted(found)


def _make_parents(path: Path) -> list[Path]:
    """Make the missing directories above ``path``; returns them, innermost first."""
    missing = [parent for parent in path.parents if not parent.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    return missing


def _remove_empty(directories: list[Path]) -> None:
    for directory in directories:
        with contextlib.suppress(OSError):
            directory.rmdir()


def _umask() -> int:
    """The process's mask of file permissions, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
