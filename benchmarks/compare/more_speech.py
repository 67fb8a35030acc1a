"""Test speech in plenty: the toy corpus's own test sets hold some 800 words, so that
one error more or less in a hundred words is chance."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import List, Set

from benchmarks.compare.corpus import transcripts
from benchmarks.files import write_text

SIZE = "toy_test"


def add_test_speech(recipe_dir: Path, train: str) -> List[str]:
    """Synthesise two more hours like the toy corpus, unless they are there.

    Speakers, rooms and noise are new; sentences that are in the training set are
    left out.

    Args:
        recipe_dir: the recipe, with prepared data.
        train: name of its training set in dump/raw.

    Returns:
        Names of the new sets in dump/raw.

    Raises:
        ValueError: the synthesis failed.
    """
    corpus = recipe_dir.resolve() / "downloads" / SIZE
    command = [sys.executable, "local/corpora/synthesize_corpus.py", "--size", SIZE]
    command += ["--output", str(corpus)]
    if subprocess.run(command, cwd=recipe_dir).returncode:
        raise ValueError(f"{command[1]} in {recipe_dir} failed; see what it said above")
    known = set(transcripts(recipe_dir / "dump/raw" / train / "text").values())
    names = []
    for subset in sorted((corpus / "LibriSpeech").glob("test-*")):
        names.append(f"test_more_{subset.name.split('-')[1]}")
        _write_set(recipe_dir / "dump/raw" / names[-1], subset, known)
    return names


def _write_set(directory: Path, subset: Path, known: Set[str]) -> None:
    """wav.scp and text of a subset, which is all that scoring reads."""
    spoken = {}
    for path in subset.glob("*/*/*.trans.txt"):
        for name, sentence in transcripts(path).items():
            if sentence not in known:
                spoken[name] = (path.parent / f"{name}.flac", sentence)
    rows = sorted(spoken.items())
    scp = "".join(f"{name} {audio}\n" for name, (audio, _) in rows)
    write_text(directory / "wav.scp", scp)
    text = "".join(f"{name} {sentence}\n" for name, (_, sentence) in rows)
    write_text(directory / "text", text)
