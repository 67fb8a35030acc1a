"""Files in LibriSpeech's form: names, transcripts, tables."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soundfile

from synth.acoustics import SAMPLE_RATE
from synth.plan import Chapter
from synth.sizes import Size

BOOK = 1
SETTINGS = ".settings.json"

_README = """\
This corpus is synthetic: eSpeak NG reads sentences made up by a program, with invented
speakers, rooms and noises. It has the on-disk form of LibriSpeech, so whatever reads
LibriSpeech reads it, and it serves to test such programs. Word error rates measured on
it say nothing about word error rates on LibriSpeech or on human speech.

{summary}
Made by: synthesize_corpus.py {arguments}
"""
_LICENSE = """\
No recording and no copyrighted text went into this corpus.
{origin}
The sound was made with eSpeak NG (GPL-3.0-or-later, a licence of the program that does
not extend to what it speaks).
"""
_CHAPTERS = """\
; The chapters of the corpus.
;ID    |READER|MINUTES| SUBSET           | PROJ.|BOOK ID| CH. TITLE | PROJECT TITLE
"""
_SPEAKERS = """\
; The speakers of the corpus.
;ID  |SEX| SUBSET           |MINUTES| NAME
"""
_BOOKS = """\
; The books of the corpus.
;BOOK ID | BOOK TITLE | AUTHOR(S)
"""


def write_chapter(root: Path, chapter: Chapter, sounds: Iterable[np.ndarray]) -> float:
    """Write the FLAC files and, last, the transcripts of a chapter.

    Args:
        root: The ``LibriSpeech`` directory.
        chapter: The chapter.
        sounds: One int16 array at 16 kHz for each sentence.

    Returns:
        Length of the chapter in seconds.

    Raises:
        OSError: The disk is full or not writable.
    """
    reader, number = chapter.speaker.reader, chapter.number
    folder = root / chapter.subset.name / str(reader) / str(number)
    folder.mkdir(parents=True)
    lines, samples = [], 0
    for index, (text, sound) in enumerate(zip(chapter.sentences, sounds)):
        name = f"{reader}-{number}-{index:04d}"
        # Through memory: soundfile does not report a full disk.
        buffer = io.BytesIO()
        soundfile.write(buffer, sound, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
        (folder / f"{name}.flac").write_bytes(buffer.getbuffer())
        lines.append(f"{name} {text}\n")
        samples += len(sound)
    transcript = folder / f"{reader}-{number}.trans.txt"
    transcript.write_text("".join(lines), encoding="ascii")
    return samples / SAMPLE_RATE


def write_tables(
    root: Path, lengths: dict[Chapter, float], settings: dict, size: Size
) -> None:
    """Write SPEAKERS.TXT, CHAPTERS.TXT, BOOKS.TXT, LICENSE.TXT and README.TXT.

    Args:
        root: The ``LibriSpeech`` directory.
        lengths: Seconds of every chapter.
        settings: Options of the synthesis; written beside the tables.
        size: Size of the corpus, with the title and the origin of its text.
    """
    speakers: dict[int, list] = {}
    chapters = []
    for chapter, length in sorted(lengths.items(), key=lambda item: item[0].number):
        speaker, subset, minutes = chapter.speaker, chapter.subset.name, length / 60
        speakers.setdefault(speaker.reader, [speaker, subset, 0.0])[2] += minutes
        chapters.append(
            f"{chapter.number:<6} | {speaker.reader:<4} | {minutes:5.2f} | {subset:<16}"
            f" | {BOOK:<4} | {BOOK:<5} | Chapter {chapter.number} | {size.title}\n"
        )
    rows = [
        f"{reader:<4} | {who.sex} | {subset:<16} | {minutes:5.2f} | {who.name}\n"
        for reader, (who, subset, minutes) in sorted(speakers.items())
    ]
    arguments = f"--size {settings['size']} --scale {settings['scale']}"
    readme = _README.format(summary=summary(lengths), arguments=arguments)
    for name, content in {
        "CHAPTERS.TXT": _CHAPTERS + "".join(chapters),
        "SPEAKERS.TXT": _SPEAKERS + "".join(rows),
        "BOOKS.TXT": f"{_BOOKS}{BOOK:<5} | {size.title} | -\n",
        "LICENSE.TXT": _LICENSE.format(origin=size.origin),
        "README.TXT": readme,
        SETTINGS: json.dumps(settings, sort_keys=True) + "\n",
    }.items():
        (root / name).write_text(content, encoding="ascii")


def summary(lengths: dict[Chapter, float]) -> str:
    """Return a table: numbers of speakers, utterances, words, minutes by subset."""
    rows = ["subset            speakers  utterances   words  minutes\n"]
    for subset in dict.fromkeys(chapter.subset for chapter in lengths):
        parts = [chapter for chapter in lengths if chapter.subset == subset]
        speakers = len({chapter.speaker.reader for chapter in parts})
        texts = [text for chapter in parts for text in chapter.sentences]
        words = sum(len(text.split()) for text in texts)
        minutes = sum(lengths[chapter] for chapter in parts) / 60
        rows.append(
            f"{subset.name:<16}  {speakers:>8}  {len(texts):>10}  {words:>6}"
            f"  {minutes:>7.1f}\n"
        )
    return "".join(rows)
