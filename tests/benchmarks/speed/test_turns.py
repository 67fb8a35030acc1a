"""Runs take turns, and ratios are taken within a round."""

from __future__ import annotations

import pytest

from benchmarks.speed.settings import Effort
from benchmarks.speed.turns import spread, summary, take_turns, time_in_turns


def test_all_run_once_a_round_in_changing_order():
    calls = []
    runs = {name: lambda name=name: calls.append(name) for name in "abcd"}
    take_turns(runs, Effort(6), "test")
    rounds = ["".join(calls[i : i + 4]) for i in range(0, 24, 4)]
    assert {"".join(sorted(order)) for order in rounds} == {"abcd"}
    assert len(set(rounds)) > 1


def test_no_new_round_after_the_time_but_at_least_some():
    counts = dict(a=0)

    def run():
        counts["a"] += 1

    take_turns({"a": run}, Effort(50, seconds=0.0, least=3), "test")
    assert counts["a"] == 3


def test_a_warm_up_is_not_read():
    readings = iter(range(1, 10))
    calls = []
    found = time_in_turns(
        {"a": lambda: calls.append(1)},
        lambda run: (run(), {"wall": next(readings)})[1],
        Effort(2),
    )
    assert found == {"a": [{"wall": 1}, {"wall": 2}]}
    assert len(calls) == 3


def test_a_load_on_the_machine_cancels_in_the_ratios():
    stock = [{"wall": x} for x in (1.0, 4.0, 2.0)]
    row = [{"wall": x} for x in (0.5, 2.0, 1.0)]
    assert summary(row, stock)["ratios"]["wall"] == [0.5, 0.5, 0.5]


def test_spread():
    of = spread([1.0, 2.0, 3.0, 4.0, 100.0])
    assert of == {"median": 3.0, "low": 2.0, "high": 4.0, "deviation": 1.0}
    assert spread([7.0])["high"] == pytest.approx(7.0)
