"""In what is timed, and for how long."""

from __future__ import annotations

import pytest

from benchmarks.speed import grid as settings
from benchmarks.speed.grid import Setting, chosen_grid, efforts, named_grid

CPU = dict(device="cpu", dtype="float32")


def test_grids_grow(monkeypatch):
    monkeypatch.setattr(settings, "processors", lambda: 4)
    quick, default, full = (named_grid(n, "256", **CPU) for n in settings.GRIDS)
    assert set(quick) < set(default) < set(full)
    assert {s.size for s in default} == {"144", "256", "512"}
    assert {s.seconds for s in default if s.threads == s.batch == 1} == {5, 10, 20, 30}
    assert Setting("256", 8, 30.0, 4) in full
    assert Setting("256", 8, 30.0, 4) not in default
    keys = [s.key for s in full]
    assert len(set(keys)) == len(keys)


def test_every_combination_of_what_is_given(monkeypatch):
    monkeypatch.setattr(settings, "processors", lambda: 4)
    found = chosen_grid("256", [1, 8], [5.0], ["1", "all", "4"], **CPU)
    assert {(s.batch, s.threads) for s in found} == {(1, 1), (8, 1), (1, 4), (8, 4)}
    assert len(found) == 4


@pytest.mark.parametrize(
    "batches, lengths, threads, message",
    [
        ([1], [5.0], ["0"], "--threads 0: must be a number above 0"),
        ([1], [5.0], ["some"], "--threads some: must be"),
        ([0], [5.0], ["1"], "--batch and --seconds must be 1 or more"),
    ],
)
def test_numbers_out_of_range(batches, lengths, threads, message):
    with pytest.raises(ValueError, match=message):
        chosen_grid("256", batches, lengths, threads, **CPU)


def test_time_is_shared_by_length():
    short, long = Setting("256", 1, 5.0, 1), Setting("256", 8, 30.0, 1)
    shared = dict(efforts([short, long], 100.0, 0))
    assert sum(effort.seconds for effort in shared.values()) == pytest.approx(100.0)
    assert shared[long].seconds > 5 * shared[short].seconds
    assert {e.rounds for e in dict(efforts([short, long], 100.0, 3)).values()} == {3}
