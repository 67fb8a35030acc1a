"""From file to ready in a process of its own, and recognition by ESPnet."""

from __future__ import annotations

import contextlib
import multiprocessing
import types

import pytest
import torch
from support.benchmark_speed import tiny_builder, tiny_work

from benchmarks.speed import from_disk
from benchmarks.speed.choices import parse_row
from benchmarks.speed.timing import Device
from espnet_adaptive_dropout.export.export import saved_bytes


class Process:
    """Runs its target in this process, which has imported ESPnet."""

    def __init__(self, target, args):
        self.run = lambda: target(*args)

    def start(self):
        with contextlib.suppress(OSError):
            self.run()

    def join(self):
        pass


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    context = types.SimpleNamespace(
        Pipe=multiprocessing.Pipe,
        Process=Process,
        set_forkserver_preload=lambda modules: None,
    )
    monkeypatch.setattr(multiprocessing, "get_context", lambda method: context)


def test_load_time_memory_and_file_size(tmp_path):
    work = tiny_work(tmp_path, "stock,all_54", rounds=1)
    [key] = from_disk.time_loading(work)
    rows = work.store("load").read(key)["rows"]
    for row in rows.values():
        assert row["load_seconds"] > 0 and row["first_seconds"] > 0
        assert row["process_bytes"] >= 0
    assert rows["all_54"]["file_bytes"] < rows["stock"]["file_bytes"]
    encoder = tiny_builder().model(parse_row("stock")).encoder
    assert rows["stock"]["file_bytes"] == saved_bytes(encoder)


def test_a_process_that_fails_is_reported(tmp_path):
    with pytest.raises(ValueError, match="the process that loaded it died"):
        from_disk.in_fresh_process("", tmp_path, Device())


def test_decoding_is_timed(tmp_path, monkeypatch):
    monkeypatch.setattr(from_disk, "LENGTHS", (1.0,))
    monkeypatch.setattr(from_disk, "SEARCHES", {"greedy": 1})
    work = tiny_work(tmp_path, "stock,all_54,all_54_int8", rounds=1)
    [key] = from_disk.time_decoding(work)
    rows = work.store("decode").read(key)["rows"]
    assert list(rows) == ["stock", "all_54", "all_54_int8"]
    assert all(row["audio_seconds"] == 1.0 for row in rows.values())
    assert rows["all_54"]["seconds"]["wall"][0] > 0


def test_the_length_of_the_text_is_set(tmp_path):
    recognise = from_disk.recogniser(tiny_work(tmp_path), parse_row("all_54"), 1)
    recognise.maxlenratio = -4.0
    _, tokens, _, _ = recognise(torch.randn(16000))[0]
    assert len(tokens) == 4
