"""Unpack one subset's archive into a LibriSpeech tree, completely or not at all."""

from __future__ import annotations

import shutil
import sys
import tarfile
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

from corpus_table import CorpusError

COMPLETE = ".complete"
# Every archive brings SPEAKERS.TXT and its like; archives are unpacked in parallel.
_METADATA_LOCK = threading.Lock()


def is_complete(tree: Path, subset: str) -> bool:
    """Return whether the subset is there, with the marker that says it is complete.

    Raises:
        CorpusError: The directory is there without the marker.
    """
    directory = tree / subset
    if (directory / COMPLETE).is_file():
        return True
    if directory.exists():
        raise CorpusError(
            f"{directory} has no {COMPLETE} file, so it may be incomplete: remove "
            "the directory, or create that file if you know that it is complete"
        )
    return False


def unpack(
    archive: Path, subset: str, tree: Path, progress: Callable[[int, int], None]
) -> None:
    """Unpack ``archive`` so that ``tree/subset`` appears when it is complete.

    Args:
        archive: A tar file with ``LibriSpeech/<subset>`` in it.
        subset: For example ``dev-clean``.
        tree: The existing LibriSpeech directory; files such as SPEAKERS.TXT go
            there too, or the lines that the present ones lack.
        progress: Called with archive bytes read and in all; may raise to stop.

    Raises:
        CorpusError: The archive is damaged, unsafe or another one.
        OSError: Writing failed.
    """
    # A fixed name, under the lock of the download: what a killed run left behind is
    # removed by the next one.
    scratch = tree.parent / f".{subset}.unpacking"
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        _extract(archive, scratch, progress)
        source = scratch / "LibriSpeech"
        if not (source / subset).is_dir():
            raise CorpusError(
                f"{archive}: no LibriSpeech/{subset} in it, so it is another archive; "
                "remove it and check --data_url"
            )
        with _METADATA_LOCK:
            for path in sorted(source.glob("*.TXT")):
                _merge_lines(path, tree / path.name)
        (source / subset / COMPLETE).touch()
        (source / subset).rename(tree / subset)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _extract(archive: Path, target: Path, progress: Callable[[int, int], None]) -> None:
    if not hasattr(tarfile, "data_filter"):
        raise CorpusError(
            f"{archive}: Python {sys.version.split()[0]} cannot unpack it safely; "
            "update Python, or unpack it yourself and give --corpus_dir"
        )
    size = archive.stat().st_size

    def members(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
        for member in tar:
            progress(raw.tell(), size)
            yield member

    try:
        with archive.open("rb") as raw, tarfile.open(fileobj=raw, mode="r:*") as tar:
            tar.extractall(target, members(tar), filter="data")
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise CorpusError(
            f"{archive}: damaged or unsafe archive ({error}); remove it and download "
            "it again"
        ) from None


def _merge_lines(source: Path, target: Path) -> None:
    """Copy a metadata file; to one that is there, append the lines that it lacks."""
    have = target.read_bytes().splitlines() if target.exists() else []
    known = set(have)
    new = [line for line in source.read_bytes().splitlines() if line not in known]
    if new or not have:
        partial = target.with_name(f".{target.name}.part")
        partial.write_bytes(b"".join(line + b"\n" for line in have + new))
        partial.replace(target)
