"""Encoding is timed, kept, and not timed again."""

from __future__ import annotations

import dataclasses

import pytest
from support.benchmark_speed import SETTING, tiny_work

from benchmarks.speed import forward
from benchmarks.speed.timing import Device


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    work = tiny_work(tmp_path_factory.mktemp("speed"))
    forward.run(work)
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
    forward.run(more)
    after = work.store("forward").read(SETTING.key)["rows"]
    assert after.pop("all_30")["ratios"]["wall"] != [1.0, 1.0]
    assert after["gated"] == before["gated"]
    assert after["all_54"] == before["all_54"]


def test_again_measures_again(work):
    before = work.store("forward").read(SETTING.key)["rows"]["gated"]["seconds"]
    forward.run(tiny_work(work.exp, "stock,gated", again=True))
    after = work.store("forward").read(SETTING.key)["rows"]["gated"]["seconds"]
    assert after != before


def test_what_cannot_be_made_is_left_out_and_named(tmp_path):
    work = tiny_work(tmp_path, "stock,paper_95")
    forward.run(work)
    content = work.store("forward").read(SETTING.key)
    assert list(content["rows"]) == ["stock"]
    assert "more than these locations can give" in content["missing"]["paper_95"]


def test_bfloat16_is_kept_apart(tmp_path):
    setting = dataclasses.replace(SETTING, dtype="bfloat16")
    work = tiny_work(tmp_path, "stock,all_54", [setting])
    work.device = Device(dtype="bfloat16")
    forward.run(work)
    assert work.store("forward").read(SETTING.key)["rows"] == {}
    rows = work.store("forward").read(setting.key)["rows"]
    assert list(rows) == ["stock", "all_54"]
