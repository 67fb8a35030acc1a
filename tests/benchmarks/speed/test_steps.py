"""Forward passes and training steps are timed, kept, and not timed again."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from support.benchmark_speed import SETTING, tiny_builder, tiny_work

from benchmarks.speed import steps
from benchmarks.speed.choices import Setting
from benchmarks.speed.steps import efforts
from benchmarks.speed.timing import Device
from espnet_adaptive_dropout.experiments.sizes import parameters


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    work = tiny_work(tmp_path_factory.mktemp("speed"))
    steps.time_forward(work)
    return work


def test_every_row_has_times_ratios_and_sizes(work):
    rows = work.store("forward").read(SETTING.key)["rows"]
    assert list(rows) == ["stock", "gated", "all_54"]
    for row in rows.values():
        assert len(row["seconds"]["wall"]) == len(row["ratios"]["cpu"]) == 2
        assert min(row["seconds"]["wall"]) > 0
        assert row["activation_bytes"] > 0
        assert row["about"]["torch"]
    assert rows["stock"]["ratios"]["wall"] == [1.0, 1.0]
    assert rows["gated"]["macs"] == rows["stock"]["macs"] > 2 * rows["all_54"]["macs"]
    assert rows["all_54"]["activation_bytes"] < rows["stock"]["activation_bytes"]


def test_only_what_is_missing_is_measured(work):
    before = work.store("forward").read(SETTING.key)["rows"]
    more = tiny_work(work.exp, "stock,gated,all_54,all_30")
    steps.time_forward(more)
    after = work.store("forward").read(SETTING.key)["rows"]
    assert after.pop("all_30")["ratios"]["wall"] != [1.0, 1.0]
    assert after["gated"] == before["gated"]
    assert after["all_54"] == before["all_54"]


def test_again_measures_again(work):
    before = work.store("forward").read(SETTING.key)["rows"]["gated"]["seconds"]
    steps.time_forward(tiny_work(work.exp, "stock,gated", again=True))
    after = work.store("forward").read(SETTING.key)["rows"]["gated"]["seconds"]
    assert after != before


def test_what_cannot_be_made_is_left_out_and_named(tmp_path):
    work = tiny_work(tmp_path, "stock,paper_95")
    steps.time_forward(work)
    content = work.store("forward").read(SETTING.key)
    assert list(content["rows"]) == ["stock"]
    assert "more than these locations can give" in content["missing"]["paper_95"]


def test_bfloat16_is_kept_apart(tmp_path):
    setting = dataclasses.replace(SETTING, dtype="bfloat16")
    work = tiny_work(tmp_path, "stock,all_54", [setting])
    work.device = Device(dtype="bfloat16")
    steps.time_forward(work)
    assert work.store("forward").read(SETTING.key)["rows"] == {}
    rows = work.store("forward").read(setting.key)["rows"]
    assert list(rows) == ["stock", "all_54"]


def test_time_is_shared_by_length():
    short, long = Setting("256", 1, 5.0, 1), Setting("256", 8, 30.0, 1)
    shared = dict(efforts([short, long], 100.0, 0))
    assert sum(effort.seconds for effort in shared.values()) == pytest.approx(100.0)
    assert shared[long].seconds > 5 * shared[short].seconds
    assert {e.rounds for e in dict(efforts([short, long], 100.0, 3)).values()} == {3}


def test_steps_are_timed_with_memory_and_size_control(tmp_path, monkeypatch):
    monkeypatch.setattr(steps, "SECONDS", 2.0)
    work = tiny_work(tmp_path)
    [key] = steps.time_training(work)
    rows = work.store("train").read(key)["rows"]
    assert list(rows) == ["stock", "gated", "gated_all", "paper_54", "all_54"]
    for row in rows.values():
        assert len(row["seconds"]["wall"]) == 2
        assert row["peak_bytes"] > 0
    assert "control_share" not in rows["stock"]
    assert 0 < rows["gated_all"]["control_share"]["wall"]


def test_after_the_cut_the_small_network_is_trained(monkeypatch):
    monkeypatch.setattr(steps, "SECONDS", 2.0)
    trainee = steps.Trainee(tiny_builder(), "all_54", Device())
    encoder = trainee.model.encoder
    left = parameters(encoder) / encoder.units.parameters.total
    assert left == pytest.approx(0.46, abs=0.02)
    weight = encoder.get_parameter("after_norm.weight")
    before = weight.detach().clone()
    trainee.step()
    assert not torch.equal(weight, before)


def test_a_step_trains_weights_and_gates(monkeypatch):
    monkeypatch.setattr(steps, "SECONDS", 2.0)
    trainee = steps.Trainee(tiny_builder(), "gated_all", Device())
    control = trainee.model.encoder.control
    before = {n: p.detach().clone() for n, p in trainee.model.named_parameters()}
    trainee.step()
    assert float(control.step) == steps.PROGRESS * steps.STEPS + 1
    changed = {
        name
        for name, parameter in trainee.model.named_parameters()
        if not torch.equal(parameter, before[name])
    }
    assert any(name.endswith(".logits") for name in changed)
    assert "encoder.encoders.0.feed_forward.w_1.weight" in changed
