"""Unpack one subset's archive into a LibriSpeech tree, whole or not at all."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Callable

from corpus_table import CorpusError
from tar_files import extract_files

COMPLETE = ".complete"
# Every archive brings SPEAKERS.TXT and its like; archives are unpacked in parallel.
_METADATA_LOCK = threading.Lock()


def is_complete(tree: Path, subset: str) -> bool:
    """Return whether the subset is there, with the marker that says it is whole.

    Raises:
        CorpusError: The directory is there without the marker.
    """
    directory = tree / subset
    if (directory / COMPLETE).is_file():
        return True
    if directory.exists():
        raise CorpusError(
            f"{directory} has no {COMPLETE} file, so it may be only a part: remove "
            "the directory, or create that file if you know that it is whole"
        )
    return False


def unpack(
    archive: Path, subset: str, tree: Path, progress: Callable[[int, int], None]
) -> None:
    """Unpack ``archive`` so that ``tree/subset`` appears when it is whole.

    Args:
        archive: A gzipped tar file with ``LibriSpeech/<subset>`` in it.
        subset: For example ``dev-clean``.
        tree: The existing LibriSpeech directory; files such as SPEAKERS.TXT go
            there too, or what they have beyond the present ones.
        progress: Called with archive bytes read and in all; may raise to stop.

    Raises:
        CorpusError: The archive is damaged or another one.
        OSError: Writing failed.
    """
    # A fixed name: what a killed run left behind is cleared by the next one.
    scratch = tree.parent / f".{subset}.unpacking"
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        extract_files(archive, scratch, progress)
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


def _merge_lines(source: Path, target: Path) -> None:
    """Copy a metadata file; where one is, only append the lines that it lacks."""
    have = target.read_bytes().splitlines() if target.exists() else []
    known = set(have) if have else ()
    lines = have + [s for s in source.read_bytes().splitlines() if s not in known]
    if have and lines == have:
        return
    partial = target.with_name(f".{target.name}.part")
    partial.write_bytes(b"".join(line + b"\n" for line in lines))
    partial.replace(target)
