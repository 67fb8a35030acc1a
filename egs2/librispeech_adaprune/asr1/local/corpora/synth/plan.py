"""Plan of a corpus: which speaker reads which sentences in which chapter."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from synth.sizes import Size, Subset
from synth.speakers import Speaker, make_speaker

# Measured; only serves to turn minutes into a number of sentences.
_SECONDS_PER_LETTER, _SECONDS_PER_SENTENCE = 0.060, 0.60
_FIRST_READER, _FIRST_CHAPTER = 100, 1000
_LEAST_PER_SPEAKER = 2


@dataclass(frozen=True)
class Chapter:
    """Sentences that one speaker reads in one room.

    Attributes:
        subset: Subset of the corpus.
        speaker: The reader.
        number: Number of the chapter, unique in the corpus.
        sentences: Transcripts of the utterances.
        seed: Seed of the room, the noise and the prosody.
    """

    subset: Subset
    speaker: Speaker
    number: int
    sentences: tuple[str, ...]
    seed: tuple[int, ...]


def make_plan(size: Size, seed: int) -> list[Chapter]:
    """Distribute sentences over subsets, speakers and chapters.

    Evaluation subsets take their sentences first; none of those is in training.

    Args:
        size: Subsets, minutes and speakers to plan.
        seed: The same seed gives the same plan.

    Returns:
        Chapters in the order of the size's subsets.
    """
    rng = np.random.default_rng(seed)
    supply = size.sentences(rng)
    taken = {s: _take(supply, s.minutes) for s in size.subsets if not s.train}
    evaluated = {text for texts in taken.values() for text in texts}
    unseen = (text for text in supply if text not in evaluated)
    taken.update({s: _take(unseen, s.minutes) for s in size.subsets if s.train})

    readers = _numbers(_FIRST_READER, sum(s.speakers for s in size.subsets), rng)
    numbers = _numbers(_FIRST_CHAPTER, sum(map(len, taken.values())), rng)
    plan = []
    for subset in size.subsets:
        for index, share in enumerate(_shares(subset, taken[subset])):
            speaker = make_speaker(next(readers), "FM"[index % 2], rng)
            for sentences in _split(share, math.ceil(len(share) / size.chapter)):
                number = next(numbers)
                plan.append(
                    Chapter(subset, speaker, number, tuple(sentences), (seed, number))
                )
    return plan


def seconds(text: str) -> float:
    """Return the expected length of an utterance."""
    return _SECONDS_PER_SENTENCE + _SECONDS_PER_LETTER * len(text)


def _take(supply: Iterator[str], minutes: float) -> list[str]:
    """Take sentences for that many minutes, at least one."""
    texts = [next(supply)]
    total = seconds(texts[0])
    while total < 60 * minutes:
        texts.append(next(supply))
        total += seconds(texts[-1])
    return texts


def _shares(subset: Subset, texts: list[str]) -> list[list[str]]:
    """Return the sentences of each speaker; tiny subsets have fewer speakers."""
    speakers = min(subset.speakers, max(1, len(texts) // _LEAST_PER_SPEAKER))
    return _split(texts, speakers)


def _split(items: list[str], parts: int) -> list[list[str]]:
    """Return consecutive parts whose lengths differ by one at most."""
    edges = [len(items) * part // parts for part in range(parts + 1)]
    return [items[a:b] for a, b in zip(edges, edges[1:])]


def _numbers(first: int, count: int, rng: np.random.Generator) -> Iterator[int]:
    """Return distinct numbers in random order, with gaps as in LibriSpeech."""
    return map(int, islice(rng.permutation(np.arange(first, first + 4 * count)), count))
