"""Real-time factor from decoding logs."""

from __future__ import annotations

import pytest
from common import RecipeError
from rtf import Timing, read_log

LINE = "2026-11-22 20:00:{:06.3f} (asr_inference:571) INFO: {}\n"


def log_of(path, *events):
    text = "# a command\n"
    for second, said in events:
        text += LINE.format(second, said).replace(".", ",", 1)
    path.write_text(text)
    return path


def test_pairs_of_lines(tmp_path):
    path = log_of(
        tmp_path / "a.log",
        (1.0, "speech length: 16000"),
        (1.5, "best hypo: ONE"),
        (9.0, "speech length: 32000"),
        (10.0, "best hypo: TWO"),
    )
    timing = Timing()
    read_log(path, 16000, timing)
    assert (timing.utterances, timing.audio, timing.decoding) == (2, 3.0, 1.5)
    assert timing.rtf == 0.5
    assert "RTF: 0.500\nLatency: 750.000 [ms/sentence]" in timing.report()


def test_batches_count_once(tmp_path):
    path = log_of(
        tmp_path / "a.log",
        (1.0, "speech length: 16000"),
        (1.0, "speech length: 16000"),
        (3.0, "best hypo: ONE"),
        (3.0, "best hypo: TWO"),
    )
    timing = Timing()
    read_log(path, 16000, timing)
    assert (timing.utterances, timing.audio, timing.decoding) == (2, 2.0, 2.0)


def test_unfinished_log_is_refused(tmp_path):
    path = log_of(tmp_path / "a.log", (1.0, "speech length: 16000"))
    with pytest.raises(RecipeError, match="1 utterances begun, 0 decoded"):
        read_log(path, 16000, Timing())
