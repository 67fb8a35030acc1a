"""Where tensors lie and how time and memory are read."""

from __future__ import annotations

import pytest
import torch

from benchmarks.speed.device import Device


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
