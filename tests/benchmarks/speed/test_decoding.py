"""Recognition from audio to text, by ESPnet."""

from __future__ import annotations

import torch
from support.benchmark_speed import tiny_work

from benchmarks.speed import decoding
from benchmarks.speed.encoders import parse_row


def test_decoding_is_timed(tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "LENGTHS", (1.0,))
    monkeypatch.setattr(decoding, "SEARCHES", {"greedy": 1})
    work = tiny_work(tmp_path, "stock,all_54,all_54_int8", rounds=1)
    [key] = decoding.run(work)
    rows = work.store("decode").read(key)["rows"]
    assert list(rows) == ["stock", "all_54", "all_54_int8"]
    assert all(row["audio_seconds"] == 1.0 for row in rows.values())
    assert rows["all_54"]["seconds"]["wall"][0] > 0


def test_the_length_of_the_text_is_set(tmp_path):
    recognise = decoding.recogniser(tiny_work(tmp_path), parse_row("all_54"), 1)
    recognise.maxlenratio = -4.0
    _, tokens, _, _ = recognise(torch.randn(16000))[0]
    assert len(tokens) == 4
