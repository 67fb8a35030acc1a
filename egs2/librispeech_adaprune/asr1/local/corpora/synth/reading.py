"""Synthesis of one chapter, in a worker process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from synth.acoustics import Room, make_room, record
from synth.espeak import Prosody, synthesize, voice_directory
from synth.layout import write_chapter
from synth.plan import Chapter


def read_chapter(chapter: Chapter, root: Path, scratch: Path) -> float:
    """Synthesise a chapter and write its files.

    Args:
        chapter: The chapter.
        root: The ``LibriSpeech`` directory.
        scratch: Directory for temporary files.

    Returns:
        Length of the chapter in seconds.

    Raises:
        SynthError: eSpeak is missing or fails.
        OSError: The disk is full or not writable.
    """
    rng = np.random.default_rng(chapter.seed)
    room = make_room(chapter.subset.conditions, rng)
    with voice_directory(chapter.speaker.variant, scratch) as voice:
        return write_chapter(root, chapter, _utterances(chapter, room, voice, rng))


def _utterances(
    chapter: Chapter, room: Room, voice: Path, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    speaker = chapter.speaker
    for sentence in chapter.sentences:
        prosody = Prosody(
            rate=int(speaker.rate * rng.uniform(0.94, 1.06)),
            pitch=int(rng.integers(42, 59)),
            pitch_range=speaker.pitch_range + int(rng.integers(-8, 9)),
            word_gap=int(rng.integers(0, 3)),
        )
        speech = synthesize(sentence.lower(), speaker.accent, prosody, voice)
        yield record(speech, speaker, room, rng)
