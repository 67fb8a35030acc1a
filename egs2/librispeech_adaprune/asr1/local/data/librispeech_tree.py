"""Read and check a corpus in LibriSpeech's on-disk form.

``<root>/SPEAKERS.TXT`` and, for every subset,
``<root>/<subset>/<reader>/<chapter>/<reader>-<chapter>.trans.txt`` with the FLAC
files ``<reader>-<chapter>-NNNN.flac`` beside it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import soundfile
from corpus_table import CorpusError, is_subset_name
from tqdm import tqdm

SAMPLE_RATE = 16000


@dataclass(frozen=True)
class Utterance:
    """One transcribed recording.

    As in Kaldi's LibriSpeech recipe, each chapter of a reader is a speaker: a reader
    sounds different from book to book.
    """

    utt_id: str
    speaker: str
    gender: str
    audio: str
    text: str


def find_root(directory: Path) -> Path:
    """Return the directory that holds the subsets: this one or its LibriSpeech/.

    Raises:
        CorpusError: There is no such directory, or no subset in it.
    """
    if not directory.is_dir():
        raise CorpusError(f"{directory}: no such directory; check --corpus_dir")
    for root in (directory / "LibriSpeech", directory):
        if root.is_dir() and find_subsets(root):
            return Path(os.path.abspath(root))
    raise CorpusError(
        f"{directory}: no LibriSpeech subset here (train-*, dev-*, test-*, also looked "
        "in LibriSpeech/); check --corpus_dir"
    )


def find_subsets(root: Path) -> list[str]:
    """Return the sorted names of the subset directories in ``root``."""
    return sorted(
        p.name for p in root.iterdir() if p.is_dir() and is_subset_name(p.name)
    )


def read_genders(root: Path) -> dict[str, str]:
    """Read SPEAKERS.TXT.

    Returns:
        ``m`` or ``f`` by reader id.

    Raises:
        CorpusError: The file is missing, or a line of it makes no sense.
    """
    path = root / "SPEAKERS.TXT"
    if not path.is_file():
        raise CorpusError(
            f"{path} is missing: copy it from the corpus (every LibriSpeech archive "
            "holds it), it tells the readers' gender"
        )
    genders = {}
    for number, line in _numbered_lines(path):
        if line.startswith(";"):
            continue
        # The reader's name, the last field, may itself hold a bar.
        fields = [part.strip() for part in line.split("|", 4)]
        if len(fields) < 2 or fields[1].lower() not in ("m", "f"):
            raise CorpusError(
                f"{path}, line {number}: expected 'ID | M or F | ...', got '{line}'; "
                "correct the line"
            )
        genders[fields[0]] = fields[1].lower()
    return genders


def read_subset(root: Path, subset: str, genders: dict[str, str]) -> list[Utterance]:
    """List the utterances of a subset, without opening any audio file.

    Args:
        root: The directory that holds the subsets.
        subset: For example ``dev-clean``.
        genders: What ``read_genders`` returned.

    Returns:
        At least one utterance, in the order of their ids in the C locale.

    Raises:
        CorpusError: Transcripts and audio files do not match, an id or a directory
            name is not LibriSpeech's, or a reader is not in SPEAKERS.TXT.
    """
    utterances: dict[str, Utterance] = {}
    for reader in _numeric_directories(root / subset):
        if reader.name not in genders:
            raise CorpusError(
                f"{root / 'SPEAKERS.TXT'}: no line for reader {reader.name}, who has "
                f"recordings in {reader}; add the line or remove the directory"
            )
        for chapter in _numeric_directories(reader):
            for utterance in _read_chapter(chapter, genders[reader.name]):
                if utterance.utt_id in utterances:
                    raise _duplicate(utterance.utt_id, utterance.audio)
                utterances[utterance.utt_id] = utterance
    if not utterances:
        raise CorpusError(
            f"{root / subset}: no utterance in it; expected "
            f"<reader>/<chapter>/<reader>-<chapter>-NNNN.flac; remove or fill it"
        )
    return [utterances[key] for key in sorted(utterances)]


def check_audio(utterances: Sequence[Utterance], nj: int, label: str) -> float:
    """Check every audio file: readable to its last sample, 16 kHz, one channel.

    Args:
        utterances: What to check.
        nj: Number of files looked at in parallel.
        label: Shown beside the progress bar.

    Returns:
        Seconds of speech.

    Raises:
        CorpusError: Names the first bad file, what to do, and how many are bad.
    """
    with ThreadPoolExecutor(max(1, nj)) as pool:
        results = list(
            tqdm(
                pool.map(_probe, utterances),
                total=len(utterances),
                desc=f"checking {label}",
                unit="file",
                mininterval=1.0,
                leave=False,
                delay=1.0,
            )
        )
    faults = [result for result in results if isinstance(result, str)]
    if faults:
        more = f" ({len(faults) - 1} more files have faults)" if faults[1:] else ""
        raise CorpusError(faults[0] + more)
    return sum(results) / SAMPLE_RATE


def _probe(utterance: Utterance) -> int | str:
    """Return the number of samples, or what is wrong with the file."""
    path = utterance.audio
    remedy = (
        f"replace it, or remove it and its line '{utterance.utt_id}' in *.trans.txt"
    )
    try:
        with soundfile.SoundFile(path) as audio:
            if audio.samplerate != SAMPLE_RATE:
                return (
                    f"{path}: sampling rate {audio.samplerate} Hz, needs "
                    f"{SAMPLE_RATE}; resample the corpus (sox IN -r {SAMPLE_RATE} OUT)"
                )
            if audio.channels != 1:
                return f"{path}: {audio.channels} channels, needs one; {remedy}"
            if audio.frames <= 0:
                return f"{path}: holds no samples; {remedy}"
            # The header of a file cut short still tells the full length; only its
            # last sample tells the truth, and is 10 times cheaper than decoding.
            audio.seek(audio.frames - 1)
            if len(audio.read(1, dtype="int16")) != 1:
                return f"{path}: truncated audio file; {remedy}"
            return audio.frames
    except (soundfile.LibsndfileError, RuntimeError, OSError) as error:
        reason = " ".join(str(error).split())
        return f"{path}: truncated or not an audio file ({reason}); {remedy}"


def _read_chapter(chapter: Path, gender: str) -> Iterator[Utterance]:
    """Yield the utterances of one chapter directory; audio and text must match."""
    speaker = f"{chapter.parent.name}-{chapter.name}"
    audio = {
        path.stem: path
        for path in chapter.iterdir()
        if path.suffix.lower() == ".flac" and not path.name.startswith(".")
    }
    transcript = chapter / f"{speaker}.trans.txt"
    if not transcript.is_file():
        raise CorpusError(
            f"{transcript} is missing; restore it or remove the directory"
        )
    seen = set()
    for number, line in _numbered_lines(transcript):
        utt_id, _, text = line.partition(" ")
        where = f"{transcript}, line {number}"
        if not utt_id.startswith(f"{speaker}-"):
            raise CorpusError(
                f"{where}: utterance id '{utt_id}' does not begin with '{speaker}-'; "
                "correct or remove the line"
            )
        if utt_id in seen:
            raise _duplicate(utt_id, where)
        if not text:
            raise CorpusError(
                f"{where}: utterance {utt_id} has no text; add it, or remove the line "
                f"and {utt_id}.flac"
            )
        if utt_id not in audio:
            raise CorpusError(
                f"{where}: no audio file {chapter / utt_id}.flac for this transcript; "
                "restore the file or remove the line"
            )
        seen.add(utt_id)
        yield Utterance(utt_id, speaker, gender, str(audio[utt_id]), text)
    without_text = sorted(set(audio) - seen)
    if without_text:
        raise CorpusError(
            f"{audio[without_text[0]]}: no transcript in {transcript.name}; add the "
            "line or remove the file"
        )


def _duplicate(utt_id: str, where: str) -> CorpusError:
    return CorpusError(f"{where}: duplicate utterance {utt_id}; remove one of the two")


def _numeric_directories(parent: Path) -> list[Path]:
    directories = sorted(
        path for path in parent.iterdir() if path.is_dir() and path.name[0] != "."
    )
    for path in directories:
        if not (path.name.isascii() and path.name.isdigit()):
            raise CorpusError(
                f"{path}: readers and chapters are numbers in LibriSpeech's form; "
                "rename or remove the directory"
            )
    return directories


def _numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield number and text of the non-empty lines, white space made single.

    Only newlines end a line, as in all readers of Kaldi tables; other separators, such
    as U+2028 or a form feed, become spaces.
    """
    try:
        content = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"{path}: not UTF-8 text ({error.reason}); convert it"
        ) from None
    for number, line in enumerate(content.split("\n"), start=1):
        line = " ".join(line.split())
        if line:
            yield number, line
