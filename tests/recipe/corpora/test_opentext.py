"""Open text."""

import sys
from itertools import islice

import numpy as np
import pytest
from synth import opentext
from synth.errors import SynthError


def test_normalize():
    printed = "12. And Noah’s well-known [son], (Cæsar) said: ‘Go!’—then naïve"
    assert opentext.normalize(printed) == (
        "AND NOAH'S WELL KNOWN SON CAESAR SAID GO THEN NAIVE"
    )


def test_cut_packs_clauses_up_to_the_longest_passage():
    clause = " ".join(["word"] * 15) + "; "
    assert [len(text.split()) for text in opentext.cut(clause * 5)] == [30, 30, 15]


def test_cut_leaves_out_what_is_too_short_too_long_or_not_letters():
    assert opentext.cut("Jesus wept.") == []
    assert opentext.cut(" ".join(["word"] * 41)) == []
    assert opentext.cut("There were 40 of them in the house.") == []


def test_passages_are_distinct_transcripts_and_come_again():
    pytest.importorskip("pythonbible")
    supply = opentext.passages(np.random.default_rng(0))
    texts = list(islice(supply, 5000))
    assert len(set(texts)) == 5000
    assert set("".join(texts)) == set("ABCDEFGHIJKLMNOPQRSTUVWXYZ' ")
    again = list(islice(opentext.passages(np.random.default_rng(0)), 5))
    assert again == texts[:5]


def test_a_short_book_is_read_again(monkeypatch):
    verses = ["Now this is a verse.", "And this is one too."]
    monkeypatch.setattr(opentext, "_verses", lambda: verses)
    texts = list(islice(opentext.passages(np.random.default_rng(0)), 4))
    assert texts[:2] == texts[2:]
    assert len(set(texts)) == 2


def test_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pythonbible", None)
    with pytest.raises(SynthError, match="pip install pythonbible"):
        next(opentext.passages(np.random.default_rng(0)))
