"""How time and memory are measured."""

from __future__ import annotations

import pytest
import torch

from benchmarks.speed.timing import (
    Device,
    Effort,
    spread,
    summary,
    take_turns,
    time_in_turns,
)


def test_both_clocks_run():
    reading = Device().time(lambda: torch.randn(300, 300) @ torch.randn(300, 300))
    assert reading["wall"] > 0 and reading["cpu"] > 0


def test_peak_memory_counts_what_lives_at_once_and_the_backward_pass():
    x = torch.ones(1000, requires_grad=True)

    def forward():
        with torch.no_grad():
            x.add(1).mul(2)

    def backward():
        (x.exp() * 3.0).sum().backward()
        x.grad = None

    one = 4 * 1000
    assert Device().peak_memory(forward, [x]) == 2 * one
    assert Device().peak_memory(backward, [x]) > 2 * one


def test_precision_is_by_autocast():
    linear = torch.nn.Linear(4, 4)
    with Device(dtype="bfloat16").precision():
        assert linear(torch.ones(1, 4)).dtype == torch.bfloat16
    with Device().precision():
        assert linear(torch.ones(1, 4)).dtype == torch.float32


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="--device cuda: PyTorch sees no GPU here"):
        Device("cuda")


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
