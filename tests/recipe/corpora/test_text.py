"""Grammars."""

from itertools import islice

import numpy as np
from synth.text import DIGITS, WORDS50, digit_string, distinct, small_story


def test_digit_strings():
    rng = np.random.default_rng(0)
    texts = [digit_string(rng).split() for _ in range(300)]
    assert {word for text in texts for word in text} == set(DIGITS)
    assert {len(text) for text in texts} == {4, 5, 6, 7, 8}


def test_small_stories_use_all_fifty_words_in_three_to_eight():
    rng = np.random.default_rng(0)
    texts = [small_story(rng).split() for _ in range(2000)]
    assert len(WORDS50) == 50
    assert {word for text in texts for word in text} == set(WORDS50)
    assert {len(text) for text in texts} == set(range(3, 9))


def test_the_grammar_has_thousands_of_sentences():
    rng = np.random.default_rng(0)
    texts = list(islice(distinct(small_story, rng), 4000))
    assert len(set(texts)) == 4000


def test_an_exhausted_grammar_repeats():
    texts = list(
        islice(
            distinct(lambda rng: "ABC"[rng.integers(3)], np.random.default_rng(0)), 10
        )
    )
    assert set(texts[:3]) == set("ABC")
    assert len(texts) == 10
