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
from fnmatch import fnmatch
from pathlib import Path
from typing import IO, Any

import yaml

# Lists the files of a result, in the directory of the result.
MANIFEST = ".files.json"


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` to write to, and rename it at the end.

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
    """Write indented JSON, whole or not at all."""
    write_text(path, json.dumps(content, indent=indent) + "\n")


def write_yaml(path: str | Path, content: Any) -> None:
    """Write YAML in the order of the keys, whole or not at all."""
    write_text(path, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


@contextlib.contextmanager
def directory_lock(path: str | Path) -> Iterator[int]:
    """Keep other runs out of the output directory ``path``.

    The lock is a file beside the directory and ends with the process at the latest; if
    another process inherits the descriptor of the file, which is yielded, with both.

    Raises:
        ValueError: another run holds the lock.
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
            yield file.fileno()
        finally:
            name.unlink(missing_ok=True)


def _acquire(file: IO, name: Path) -> bool:
    """Lock an open file; return False if another run has locked or removed it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return name.exists() and os.path.samestat(os.fstat(file.fileno()), name.stat())


def check_output_dir(path: str | Path) -> Path:
    """Return the real path of an output directory, symbolic links resolved.

    Raises:
        ValueError: it is the current directory (as an empty path is) or above it.
    """
    real, here = Path(os.path.realpath(path)), Path.cwd()
    if real == here or real in here.parents:
        raise ValueError(
            f"--output_dir '{path}' is the current directory or above it; give the "
            f"name of a new directory"
        )
    return real


@contextlib.contextmanager
def new_directory(
    path: str | Path, marker: str, former: Sequence[str] = ()
) -> Iterator[Path]:
    """Yield a temporary directory to fill, and rename it to ``path`` at the end.

    A directory of that name is replaced if the same command made it. Files that the
    user has added to it are kept. A symbolic link stays one. After an error nothing is
    left of the new directory.

    Args:
        path: the directory.
        marker: name of a file that shows that the command made a directory.
        former: patterns of the file names that releases without a manifest wrote.

    Raises:
        ValueError: ``path`` was not made by the same command, is the current
            directory, or is being written by another run.
    """
    target = check_output_dir(path)
    taken = target.exists() and (not target.is_dir() or any(target.iterdir()))
    if taken and not (target / marker).exists():
        raise ValueError(
            f"{path}: exists and was not made by this command; choose another "
            f"--output_dir or remove it"
        )
    with contextlib.ExitStack() as stack:
        stack.callback(_remove_empty, _make_parents(target))
        stack.enter_context(directory_lock(target))
        partial = _temporary(target, "partial")
        stack.callback(shutil.rmtree, partial, ignore_errors=True)
        partial.chmod(0o777 & ~_umask())
        yield partial
        _commit(partial, target, former)


def _temporary(target: Path, suffix: str) -> Path:
    """Make a directory with a unique name beside ``target``."""
    return Path(
        tempfile.mkdtemp(
            dir=target.parent, prefix=f".{target.name}.", suffix=f".{suffix}"
        )
    )


def _commit(partial: Path, target: Path, former: Sequence[str]) -> None:
    """Replace ``target`` by the new directory, and keep the user's files."""
    write_json(partial / MANIFEST, _files(partial))
    if not target.exists():
        os.rename(partial, target)
        return
    kept = _users_files(target, former)
    for name in kept:
        if (partial / name).exists():
            raise ValueError(
                f"{target / name}: was not made by this command, which writes a file "
                f"of that name; move it elsewhere"
            )
    old = _temporary(target, "old") / "old"
    os.rename(target, old)
    try:
        os.rename(partial, target)
    except OSError:
        os.rename(old, target)
        raise
    for name in kept:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        os.rename(old / name, target / name)
    shutil.rmtree(old.parent, ignore_errors=True)


def _users_files(directory: Path, former: Sequence[str]) -> list[str]:
    """Return the names in an earlier result that the command did not write."""
    names = _files(directory)
    try:
        content = (directory / MANIFEST).read_text(encoding="utf-8")
        made = {MANIFEST, *json.loads(content)}
        return [name for name in names if name not in made]
    except (OSError, ValueError):
        tops = {name: Path(name).parts[0] for name in names}
        return [n for n in names if not any(fnmatch(tops[n], p) for p in former)]


def _files(directory: Path) -> list[str]:
    """Return the relative names of all files, links and empty directories."""
    found = []
    for root, folders, files in os.walk(directory):
        here = Path(root)
        links = [name for name in folders if (here / name).is_symlink()]
        found += [str((here / name).relative_to(directory)) for name in files + links]
        if here != directory and not folders and not files:
            found.append(str(here.relative_to(directory)))
    return sorted(found)


def _make_parents(path: Path) -> list[Path]:
    """Make the missing directories above ``path``; return them, innermost first."""
    missing = [parent for parent in path.parents if not parent.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    return missing


def _remove_empty(directories: list[Path]) -> None:
    for directory in directories:
        with contextlib.suppress(OSError):
            directory.rmdir()


def _umask() -> int:
    """Return the mask of file permissions, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
