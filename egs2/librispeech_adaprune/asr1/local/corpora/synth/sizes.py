"""Sizes of the synthesised corpora: text, subsets, minutes, speakers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Callable

import numpy as np

from synth import opentext, text
from synth.acoustics import CLEAN, OTHER, Conditions


@dataclass(frozen=True)
class Subset:
    """One of LibriSpeech's subsets.

    Attributes:
        name: Official name of the subset.
        minutes: Minutes of speech, approximately.
        speakers: Number of speakers; none of them is in another subset.
    """

    name: str
    minutes: float
    speakers: int

    @property
    def train(self) -> bool:
        """Whether the subset is training data."""
        return self.name.startswith("train")

    @property
    def conditions(self) -> Conditions:
        """Room and noise of the subset."""
        return OTHER if "other" in self.name else CLEAN


@dataclass(frozen=True)
class Size:
    """A size of the corpus.

    Attributes:
        title: Title of the invented book that is read.
        origin: One sentence on where the text comes from and why it is free.
        sentences: Yields transcripts without end, given a random generator.
        chapter: Largest number of utterances in a chapter.
        subsets: Training subsets, then development and test subsets.
        seed: Seed of the random generator; sizes with the same grammar have
            different seeds, else they would begin with the same sentences.
    """

    title: str
    origin: str
    sentences: Callable[[np.random.Generator], Iterator[str]]
    chapter: int
    subsets: tuple[Subset, ...]
    seed: int = 1

    def scaled(self, scale: float) -> Size:
        """Return this size with ``scale`` times the speech; test sets never grow."""
        factor = {True: scale, False: min(scale, 1.0)}
        subsets = tuple(
            replace(subset, minutes=subset.minutes * factor[subset.train])
            for subset in self.subsets
        )
        return replace(self, subsets=subsets)


def _subsets(
    clean: Subset, other: Subset, dev: float, test: float, speakers: int
) -> tuple[Subset, ...]:
    return (
        clean,
        other,
        Subset("dev-clean", dev, speakers),
        Subset("dev-other", dev, speakers),
        Subset("test-clean", test, speakers),
        Subset("test-other", test, speakers),
    )


_GRAMMAR = "The sentences come from a small grammar in this program."

SIZES = {
    "smoke": Size(
        title="Strings of digits",
        origin=_GRAMMAR,
        sentences=lambda rng: text.distinct(text.digit_string, rng),
        chapter=12,
        subsets=_subsets(
            Subset("train-clean-100", 10.0, 11),
            Subset("train-other-500", 5.0, 5),
            dev=0.6,
            test=0.75,
            speakers=4,
        ),
    ),
    "toy": Size(
        title="Small stories",
        origin=_GRAMMAR,
        sentences=lambda rng: text.distinct(text.small_story, rng),
        chapter=10,
        subsets=_subsets(
            Subset("train-clean-100", 82.0, 80),
            Subset("train-other-500", 40.0, 40),
            dev=2.5,
            test=3.0,
            speakers=8,
        ),
    ),
    # Further test speech for models of "toy", whose own test sets are small.
    "toy_test": Size(
        title="More small stories",
        origin=_GRAMMAR,
        sentences=lambda rng: text.distinct(text.small_story, rng),
        chapter=10,
        subsets=(Subset("test-clean", 60.0, 120), Subset("test-other", 60.0, 120)),
        seed=2,
    ),
    "medium": Size(
        title=opentext.TITLE,
        origin=opentext.ORIGIN,
        sentences=opentext.passages,
        chapter=20,
        subsets=_subsets(
            Subset("train-clean-100", 1600.0, 280),
            Subset("train-other-500", 800.0, 140),
            dev=20.0,
            test=20.0,
            speakers=20,
        ),
    ),
}
