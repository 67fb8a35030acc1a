#!/usr/bin/env python3
"""Lay AN4's recordings out as a corpus in LibriSpeech's form.

The source is the archive with a few AN4 utterances that comes with ESPnet's wheel
(or any other archive of AN4 with etc/ and wav/, NIST SPHERE without compression).
The training speaker with the fewest utterances becomes dev-clean, the other ones
train-clean-100, and AN4's test set test-clean.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import soundfile
from corpora import CorpusError
from tar_files import extract_files

_IN_PACKAGE = Path("egs3/mini_an4/esp2_asr/downloads.tar.gz")
_TRANSCRIPT = re.compile(r"(?:<s>)?\s*(.*?)\s*(?:</s>)?\s*\(([^()\s]+)\)\s*")
# AN4 names a recording after what was read: spelled words or census answers.
_KINDS = {"an": (1, "Random words and letters"), "cen": (2, "Census answers")}


@dataclass(frozen=True)
class Recording:
    """One AN4 utterance, for example ``cen8-fash-b`` of speaker ``fash``."""

    name: str
    text: str
    path: Path

    @property
    def speaker(self) -> str:
        """The speaker's name; its first letter is the gender."""
        return self.path.parent.name

    @property
    def kind(self) -> str:
        """A key of ``_KINDS``."""
        return "cen" if self.name.startswith("cen") else "an"


def find_archive() -> Path:
    """Return the archive beside the installed espnet2 package.

    Raises:
        CorpusError: ESPnet is not installed, or its release has no such archive.
    """
    spec = importlib.util.find_spec("espnet2")
    if spec is None or not spec.submodule_search_locations:
        raise CorpusError("espnet2 is not installed; pip install espnet==202611")
    archive = Path(spec.submodule_search_locations[0]).parent / _IN_PACKAGE
    if not archive.is_file():
        raise CorpusError(
            f"{archive} is missing: this release of ESPnet ships no AN4 recordings; "
            "install espnet 202611 or give another --archive"
        )
    return archive


def read_an4(an4: Path) -> dict[str, list[Recording]]:
    """List the transcribed recordings of an unpacked AN4.

    Args:
        an4: The directory with etc/ and wav/.

    Returns:
        Recordings by subset, ordered by speaker and name.

    Raises:
        CorpusError: Files are missing or not in AN4's form.
    """
    train, test = _read_part(an4, "train"), _read_part(an4, "test")
    counts: dict[str, int] = {}
    for recording in train:
        counts[recording.speaker] = counts.get(recording.speaker, 0) + 1
    if len(counts) < 2:
        raise CorpusError(f"{an4}: needs two training speakers, one goes to dev-clean")
    dev = min(sorted(counts), key=counts.__getitem__)
    return {
        "train-clean-100": [r for r in train if r.speaker != dev],
        "dev-clean": [r for r in train if r.speaker == dev],
        "test-clean": test,
    }


def _read_part(an4: Path, part: str) -> list[Recording]:
    etc = an4 / "etc"
    try:
        ids = (etc / f"an4_{part}.fileids").read_text().split()
        lines = (etc / f"an4_{part}.transcription").read_text().splitlines()
    except FileNotFoundError as error:
        raise CorpusError(f"{error.filename} is missing: not an AN4 archive") from None
    matches = [_TRANSCRIPT.fullmatch(line) for line in lines if line.strip()]
    texts = {match[2]: " ".join(match[1].split()) for match in matches if match}
    recordings = []
    for file_id in ids:
        path = an4 / "wav" / f"{file_id}.sph"
        name, gender = path.stem, path.parent.name[:1]
        if not texts.get(name):
            raise CorpusError(f"{etc}/an4_{part}.transcription: no text for {name}")
        if not path.is_file():
            raise CorpusError(f"{path} is missing, an4_{part}.fileids lists it")
        if gender not in ("f", "m"):
            raise CorpusError(f"{path}: the speaker's name must begin with f or m")
        recordings.append(Recording(name, texts[name].upper(), path))
    return sorted(recordings, key=lambda r: (r.speaker, r.name))


def write_tree(subsets: dict[str, list[Recording]], root: Path) -> None:
    """Write the corpus in LibriSpeech's form.

    Readers are numbered in the order of their names; the chapters of reader 7 are
    701 and 702, one for each kind of text.

    Args:
        subsets: What ``read_an4`` returned.
        root: The LibriSpeech directory to be; must not exist.

    Raises:
        CorpusError: A recording is not readable.
    """
    speakers = sorted({r.speaker for members in subsets.values() for r in members})
    metadata: dict[str, list[str]] = {
        "SPEAKERS.TXT": [";ID  |SEX| SUBSET           |MINUTES| NAME"],
        "CHAPTERS.TXT": [";ID    |READER|MINUTES| SUBSET           | TITLE"],
        "README.TXT": ["CMU's AN4 database; utterance ids here and names there:", ""],
    }
    for subset, members in subsets.items():
        for reader, name in enumerate(speakers, start=1):
            spoken = 0.0
            for kind, (number, title) in _KINDS.items():
                chapter = [r for r in members if (r.speaker, r.kind) == (name, kind)]
                if not chapter:
                    continue
                label = f"{reader}-{100 * reader + number}"
                directory = root / subset / label.replace("-", "/")
                minutes, origin = _write_chapter(chapter, directory, label)
                spoken += minutes
                metadata["README.TXT"] += origin
                metadata["CHAPTERS.TXT"].append(
                    f"{directory.name:<7}| {reader:<5}| {minutes:<6.2f}"
                    f"| {subset:<17}| {title}"
                )
            if spoken:
                metadata["SPEAKERS.TXT"].append(
                    f"{reader:<5}| {name[0].upper()} | {subset:<17}"
                    f"| {spoken:<6.2f}| {name}"
                )
    for name, lines in metadata.items():
        _write(root / name, lines)


def _write_chapter(
    recordings: Sequence[Recording], directory: Path, label: str
) -> tuple[float, list[str]]:
    """Write one chapter; return its minutes and lines telling AN4's names."""
    directory.mkdir(parents=True)
    seconds, transcript, origin = 0.0, [], []
    for index, recording in enumerate(recordings):
        utt_id = f"{label}-{index:04d}"
        seconds += _convert(recording.path, directory / f"{utt_id}.flac")
        transcript.append(f"{utt_id} {recording.text}")
        origin.append(f"{utt_id} {recording.name}")
    _write(directory / f"{label}.trans.txt", transcript)
    return seconds / 60, origin


def _convert(source: Path, target: Path) -> float:
    """Write a recording as FLAC; return its seconds."""
    try:
        samples, rate = soundfile.read(source, dtype="int16")
    except (soundfile.LibsndfileError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise CorpusError(
            f"{source}: not an uncompressed NIST SPHERE file ({reason}); decode it "
            "with sph2pipe"
        ) from None
    soundfile.write(target, samples, rate, subtype="PCM_16", format="FLAC")
    return len(samples) / rate


def _write(path: Path, lines: Sequence[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def convert_archive(archive: Path, output: Path) -> Path:
    """Make ``output/LibriSpeech`` from an AN4 archive, whole or not at all.

    Args:
        archive: A tar file, compressed or not, with ``an4/etc`` and ``an4/wav``.
        output: Where an existing LibriSpeech/ stays as it is.

    Returns:
        The LibriSpeech directory.

    Raises:
        CorpusError: The archive is not what it should be.
        OSError: Reading or writing failed.
    """
    root = output / "LibriSpeech"
    if root.exists():
        return root
    output.mkdir(parents=True, exist_ok=True)
    # A fixed name: what a killed run left behind is cleared by the next one.
    scratch = output / ".an4"
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        extract_files(archive, scratch / "source")
        lists = sorted((scratch / "source").rglob("an4_train.fileids"))
        if not lists:
            raise CorpusError(f"{archive}: no etc/an4_train.fileids in it: not AN4")
        an4 = lists[0].parent.parent
        write_tree(read_an4(an4), scratch / "LibriSpeech")
        if (an4 / "LICENSE").is_file():
            shutil.copyfile(an4 / "LICENSE", scratch / "LibriSpeech" / "LICENSE.TXT")
        (scratch / "LibriSpeech").rename(root)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return root


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--output", type=Path, required=True, help="directory to hold LibriSpeech/"
    )
    parser.add_argument(
        "--archive", type=Path, help="AN4 archive (default: the one in ESPnet's wheel)"
    )
    args = parser.parse_args(argv)
    try:
        root = convert_archive(args.archive or find_archive(), args.output)
    except (CorpusError, OSError) as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 1
    print(f"{root}: AN4 in LibriSpeech's form")
    return 0


if __name__ == "__main__":
    sys.exit(main())
