from __future__ import annotations

from espnet_adaptive_dropout.experiments.markdown import table_lines


def test_numbers_are_aligned_to_the_right_and_names_to_the_left():
    assert table_lines(["row", "size"], [["a", "1"], ["b", "2"]]) == [
        "| row | size |",
        "|---|---:|",
        "| a | 1 |",
        "| b | 2 |",
    ]
    lines = table_lines(["size", "note"], [], left=[1])
    assert lines == ["| size | note |", "|---:|---|"]
