"""What is compared, and in which settings."""

from __future__ import annotations

import pytest

from benchmarks.speed import choices
from benchmarks.speed.choices import (
    DEFAULT,
    Setting,
    chosen_grid,
    named_grid,
    parse_row,
    parse_rows,
)

CPU = dict(device="cpu", dtype="float32")


def test_a_name_says_what_the_row_is():
    row = parse_row("all_54_onnx_int8")
    assert (row.base, row.choice, row.target, row.form) == (
        "all_54",
        "all",
        0.54,
        "onnx_int8",
    )
    assert row.title == "54 % removed, all locations, even by location, ONNX int8"
    assert parse_row("gated_all").base == "gated_all"
    assert parse_row("stock_int8").form == "int8"
    assert parse_row("torch_pruning_30").choice == "torch_pruning"


def test_the_stock_encoder_comes_first_and_once():
    names = [row.name for row in parse_rows("all_54, stock,all_54")]
    assert names == ["stock", "all_54"]
    assert [row.name for row in parse_rows(",".join(DEFAULT))] == DEFAULT


@pytest.mark.parametrize("name", ["all", "paper_100", "stock_54", "all_54_fp16"])
def test_unknown_rows_are_refused(name):
    with pytest.raises(ValueError, match=f"--rows {name}: no such row; choose of"):
        parse_row(name)


def test_grids_grow(monkeypatch):
    monkeypatch.setattr(choices, "processors", lambda: 4)
    quick, default, full = (named_grid(n, "256", **CPU) for n in choices.GRIDS)
    assert set(quick) < set(default) < set(full)
    assert {s.size for s in default} == {"144", "256", "512"}
    assert {s.seconds for s in default if s.threads == s.batch == 1} == {5, 10, 20, 30}
    assert Setting("256", 8, 30.0, 4) in full
    assert Setting("256", 8, 30.0, 4) not in default
    keys = [s.key for s in full]
    assert len(set(keys)) == len(keys)


def test_every_combination_of_what_is_given(monkeypatch):
    monkeypatch.setattr(choices, "processors", lambda: 4)
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
