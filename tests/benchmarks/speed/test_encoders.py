"""Names of what is compared."""

from __future__ import annotations

import pytest

from benchmarks.speed.encoders import DEFAULT, parse_row, parse_rows


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
