"""Unpack the plain files of a tar archive, with progress."""

from __future__ import annotations

import shutil
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from corpus_table import CorpusError

_CHUNK = 1 << 20


def extract_files(
    archive: Path, target: Path, progress: Callable[[int, int], None] | None = None
) -> None:
    """Unpack plain files and their directories; links and devices are left out.

    Args:
        archive: A tar file, compressed or not.
        target: Directory to unpack to; made when it is missing.
        progress: Called with archive bytes read and in all; may raise to stop.

    Raises:
        CorpusError: The archive is damaged, or would write outside of ``target``.
        OSError: Reading or writing failed.
    """
    size = archive.stat().st_size
    try:
        with archive.open("rb") as raw, tarfile.open(fileobj=raw, mode="r:*") as tar:
            for member in tar:
                if progress:
                    progress(raw.tell(), size)
                if member.isfile():
                    _write_member(tar, member, target)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise CorpusError(
            f"{archive}: damaged archive ({error}); remove it and get it again"
        ) from None


def _write_member(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    relative = PurePosixPath(member.name)
    if relative.is_absolute() or ".." in relative.parts:
        raise tarfile.TarError(f"unsafe path {member.name}")
    path = target / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    with tar.extractfile(member) as source, path.open("wb") as output:
        shutil.copyfileobj(source, output, _CHUNK)
