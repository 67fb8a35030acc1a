"""A small synthesised corpus, made once per test session."""

from __future__ import annotations

import functools
import shutil
import tempfile
from pathlib import Path

SCALE = 0.06


@functools.lru_cache(maxsize=1)
def small_corpus() -> Path:
    """A LibriSpeech directory of some thirty digit strings, made by two processes."""
    import atexit

    from synth.build import build

    output = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, output, ignore_errors=True)
    build(output, "smoke", SCALE, jobs=2)
    return output / "LibriSpeech"


def contents(root: Path) -> dict[str, bytes]:
    """Every file below a directory, by its name."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }
