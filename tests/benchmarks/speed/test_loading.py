"""From file to ready, in a process of its own."""

from __future__ import annotations

import contextlib
import multiprocessing
import types

import pytest
from support.benchmark_speed import tiny_builder, tiny_work

from benchmarks.speed import loading
from benchmarks.speed.encoders import parse_row
from benchmarks.speed.forms import saved_bytes, write_experiment
from benchmarks.speed.timing import Device


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
    [key] = loading.run(work)
    rows = work.store("load").read(key)["rows"]
    for row in rows.values():
        assert row["load_seconds"] > 0 and row["first_seconds"] > 0
        assert row["process_bytes"] >= 0
    assert rows["all_54"]["file_bytes"] < rows["stock"]["file_bytes"]
    encoder = tiny_builder().model(parse_row("stock")).encoder
    assert rows["stock"]["file_bytes"] == saved_bytes(encoder)


def test_an_experiment_on_disk_is_kept(tmp_path):
    directory = tmp_path / "stock"
    write_experiment(tiny_builder(), parse_row("stock"), directory)
    (directory / "config.yaml").write_text("kept")
    write_experiment(tiny_builder(), parse_row("stock"), directory)
    assert (directory / "config.yaml").read_text() == "kept"


def test_a_process_that_fails_is_reported(tmp_path):
    with pytest.raises(ValueError, match="the process that loaded it died"):
        loading.in_fresh_process("", tmp_path, Device())
