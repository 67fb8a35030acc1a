"""Kaldi tables."""

from espnet_adaptive_dropout.experiments.tables import read_table


def test_texts_with_empty_lines_and_odd_separators(tmp_path):
    table = "a one  two\nb\n\nc \nd x\u2028y\x0cz\n"
    (tmp_path / "text").write_text(table, encoding="utf-8")
    expected = {"a": "one  two", "b": "", "c": "", "d": "x\u2028y\x0cz"}
    assert read_table(tmp_path / "text") == expected
