"""Training steps of the stock encoder and of adaptive dropout."""

from __future__ import annotations

import torch
from support.benchmark_speed import tiny_builder, tiny_work

from benchmarks.speed import training
from benchmarks.speed.timing import Device


def test_steps_are_timed_with_memory_and_size_control(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "SECONDS", 2.0)
    work = tiny_work(tmp_path)
    [key] = training.run(work)
    rows = work.store("train").read(key)["rows"]
    assert list(rows) == ["stock", "gated", "gated_all"]
    for row in rows.values():
        assert len(row["seconds"]["wall"]) == 2
        assert row["peak_bytes"] > 0
    assert "control_share" not in rows["stock"]
    assert 0 < rows["gated_all"]["control_share"]["wall"]


def test_a_step_trains_weights_and_gates(monkeypatch):
    monkeypatch.setattr(training, "SECONDS", 2.0)
    trainee = training.Trainee(tiny_builder(), "gated_all", Device())
    control = trainee.model.encoder.control
    before = {n: p.detach().clone() for n, p in trainee.model.named_parameters()}
    trainee.step()
    assert float(control.step) == training.PROGRESS * training.STEPS + 1
    changed = {
        name
        for name, parameter in trainee.model.named_parameters()
        if not torch.equal(parameter, before[name])
    }
    assert any(name.endswith(".logits") for name in changed)
    assert "encoder.encoders.0.feed_forward.w_1.weight" in changed
