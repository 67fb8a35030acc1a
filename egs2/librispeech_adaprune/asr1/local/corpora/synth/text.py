"""Sentences of small grammars."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Callable

import numpy as np

DIGITS = "ZERO ONE TWO THREE FOUR FIVE SIX SEVEN EIGHT NINE".split()

PEOPLE = "DOCTOR FARMER TEACHER MOTHER NEIGHBOR CAPTAIN".split()
OWNERS = "THE MY OUR EVERY".split()
LOOKS = "OLD GREEN YELLOW BROKEN HEAVY LITTLE".split()
DEEDS = "CARRIED FOUND PAINTED BROUGHT WASHED SOLD".split()
THINGS = "TABLE BASKET WINDOW BICYCLE LETTER BOTTLE".split()
RESTS = "WAITED SLEPT LAUGHED".split()
WHERE = "NEAR BEHIND UNDER".split()
PLACES = "GARDEN RIVER STATION KITCHEN CHURCH MARKET".split()
HOW = "OFTEN NEVER SLOWLY QUIETLY".split()
WHEN = "YESTERDAY TONIGHT MONDAY SUNDAY AGAIN TOGETHER".split()
WORDS50 = sorted(
    {*PEOPLE, *OWNERS, *LOOKS, *DEEDS, *THINGS, *RESTS, *WHERE, *PLACES, *HOW, *WHEN}
)
_LONGEST = 8


def digit_string(rng: np.random.Generator) -> str:
    """Return four to eight digits."""
    return " ".join(rng.choice(DIGITS, size=rng.integers(4, 9)))


def small_story(rng: np.random.Generator) -> str:
    """Return a sentence of three to eight words from a vocabulary of fifty."""

    def one(words: list[str], chance: float = 1.0) -> list[str]:
        return [words[rng.integers(len(words))]] if rng.random() < chance else []

    head = one(OWNERS) + one(LOOKS, 0.3) + one(PEOPLE) + one(HOW, 0.25)
    if rng.random() < 0.7:
        head += one(DEEDS) + one(OWNERS) + one(LOOKS, 0.35) + one(THINGS)
    else:
        head += one(RESTS)
    place = one(WHERE) + one(OWNERS) + one(PLACES) if rng.random() < 0.5 else []
    time = one(WHEN, 0.4)
    for ending in (place + time, place, time, []):
        if len(head) + len(ending) <= _LONGEST:
            return " ".join(head + ending)
    raise AssertionError("the head alone never exceeds eight words")


def distinct(
    draw: Callable[[np.random.Generator], str],
    rng: np.random.Generator,
    tries: int = 50,
) -> Iterator[str]:
    """Yield sentences without end, each once for as long as there are new ones.

    Args:
        draw: Draws one sentence of the grammar.
        rng: Random generator.
        tries: After that many repetitions in a row a sentence may come again.
    """
    seen: set[str] = set()
    while True:
        for _ in range(tries):
            sentence = draw(rng)
            if sentence not in seen:
                break
        seen.add(sentence)
        yield sentence
