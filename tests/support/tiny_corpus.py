"""Small corpora in LibriSpeech's form for tests."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import numpy as np
import soundfile

# reader, chapter, sex by subset; numbers of unequal length so that sorting matters
READERS = {
    "train-clean-100": [(19, 198, "F"), (103, 1240, "M")],
    "train-clean-360": [(100, 121669, "F")],
    "train-other-500": [(20, 205, "M")],
    "train-clean-5": [(30, 301, "F")],
    "dev-clean": [(1272, 128104, "M"), (84, 121123, "F")],
    "dev-other": [(116, 288045, "M")],
    "dev-clean-2": [(85, 901, "F")],
    "test-clean": [(61, 70968, "M")],
    "test-other": [(367, 130732, "F")],
}


def write_flac(path: Path, seconds: float = 0.2, rate: int = 16000) -> None:
    """Write a little noise, the same for the same file name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(sum(path.name.encode()))
    noise = generator.normal(scale=0.1, size=int(seconds * rate))
    soundfile.write(path, noise, rate, subtype="PCM_16", format="FLAC")


def write_subset(root: Path, subset: str, utterances: int = 2) -> Path:
    """Write one subset, and its readers into SPEAKERS.TXT."""
    speakers = root / "SPEAKERS.TXT"
    if not speakers.exists():
        root.mkdir(parents=True, exist_ok=True)
        speakers.write_text(";ID  |SEX| SUBSET           |MINUTES| NAME\n")
    for reader, chapter, sex in READERS[subset]:
        with speakers.open("a") as file:
            file.write(f"{reader:<5}| {sex} | {subset:<17}| 0.01  | |C|Reader\n")
        directory = root / subset / str(reader) / str(chapter)
        lines = []
        for index in range(utterances):
            utt_id = f"{reader}-{chapter}-{index:04d}"
            write_flac(directory / f"{utt_id}.flac")
            lines.append(f"{utt_id} READER {subset.upper()} SAYS {index}\n")
        # Not in order, to see that the order of the files does not matter.
        transcript = directory / f"{reader}-{chapter}.trans.txt"
        transcript.write_text("".join(reversed(lines)))
    return root / subset


def pack(directory: Path, subset: str, **files: str | bytes) -> bytes:
    """An archive of one subset as OpenSLR has it.

    Args:
        directory: where the subset is written first.
        subset: key of ``READERS``.
        files: content of further files by their names without ".TXT".
    """
    tree = directory / "LibriSpeech"
    write_subset(tree, subset)
    for name, content in files.items():
        data = content.encode() if isinstance(content, str) else content
        (tree / f"{name}.TXT").write_bytes(data)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.add(tree, "LibriSpeech")
    return buffer.getvalue()


def md5sums(archives: dict[str, bytes]) -> bytes:
    """The md5sum.txt of archives by their names."""
    lines = [f"{hashlib.md5(d).hexdigest()}  {n}\n" for n, d in archives.items()]
    return "".join(lines).encode()


def write_tree(root: Path, *subsets: str) -> Path:
    """Write several subsets; all of ``READERS`` when none is named."""
    for subset in subsets or READERS:
        write_subset(root, subset)
    return root
