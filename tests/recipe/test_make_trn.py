"""Files for scoring."""

from __future__ import annotations

import subprocess
import sys

import pytest
from support.paths import RECIPE

TOOLS = RECIPE / "local" / "tools"


@pytest.fixture
def make(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "text").write_text("s1-a ONE TWO\ns2-b THREE\n")
    (data / "utt2spk").write_text("s1-a s1\ns2-b s2\n")

    def run(hypotheses, *options):
        (tmp_path / "hyp").write_text(hypotheses)
        command = [sys.executable, str(TOOLS / "make_trn.py"), "--data", "data"]
        command += ["--hyp", "hyp", "--out", "out", *options]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    return run


def test_words_and_characters(tmp_path, make):
    # another order than the reference's, and an empty hypothesis
    done = make("s2-b\ns1-a ONE TOO\n")
    assert done.returncode == 0, done.stderr
    out = tmp_path / "out"
    assert (out / "score_wer/ref.trn").read_text() == (
        "ONE TWO\t(s1-s1-a)\nTHREE\t(s2-s2-b)\n"
    )
    assert (out / "score_wer/hyp.trn").read_text() == (
        "ONE TOO\t(s1-s1-a)\n\t(s2-s2-b)\n"
    )
    assert (out / "score_cer/ref.trn").read_text().splitlines()[0] == (
        "O N E <space> T W O\t(s1-s1-a)"
    )
    assert not (out / "score_ter").exists()


def test_cleaner(monkeypatch):
    import make_trn

    monkeypatch.setattr(make_trn, "TextCleaner", lambda name: str.lower)
    assert make_trn.clean({"a": "ONE"}, "lower") == {"a": "one"}


def test_unknown_cleaner(make):
    done = make("s1-a ONE\ns2-b X\n", "--cleaner", "polish")
    assert done.returncode == 1
    assert "text cleaner 'polish'" in done.stderr
    assert done.stderr.count("\n") == 1


def test_missing_hypothesis(make):
    done = make("s1-a ONE\n")
    assert done.returncode == 1
    assert "s2-b is not in both" in done.stderr
    assert done.stderr.count("\n") == 1


def test_missing_piece_model(make):
    done = make("s1-a ONE\ns2-b X\n", "--bpemodel", "no.model")
    assert done.returncode == 1
    assert "no.model is missing: run stage 5 first" in done.stderr
