"""What the recipe's tools share."""

from __future__ import annotations

import pytest
from common import RecipeError, read_table, replacing, run_tool


def test_interrupted_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "list"
    path.write_text("old\n")
    with pytest.raises(RuntimeError), replacing(path) as stream:
        stream.write("half")
        raise RuntimeError
    assert path.read_text() == "old\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["list"]


@pytest.mark.parametrize(
    "content, message",
    [(b"a 1\na 2\n", ":2: a is there twice"), (b"a \xff\n", "not UTF-8")],
)
def test_bad_tables(tmp_path, content, message):
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(RecipeError, match=message):
        read_table(tmp_path / "t")


def test_missing_table(tmp_path):
    with pytest.raises(RecipeError, match="t is missing"):
        read_table(tmp_path / "t")


def test_expected_errors_are_one_line(capsys):
    def full() -> None:
        raise OSError(28, "No space left on device", "dump/x.flac")

    with pytest.raises(SystemExit) as caught:
        run_tool(full)
    assert caught.value.code == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "No space left on device: 'dump/x.flac'" in said
