"""Directories and files that are there whole or not at all."""

from __future__ import annotations

import os

import pytest

from espnet_adaptive_dropout.experiments.files import (
    MANIFEST,
    check_output_dir,
    directory_lock,
    new_directory,
    write_json,
    write_text,
)


def make(path, *names, former=()):
    """Write a result of some files with the marker ``made``."""
    with new_directory(path, "made", former) as partial:
        for name in ("made", *names):
            (partial / name).parent.mkdir(exist_ok=True)
            (partial / name).write_text(f"new {name}")


def names(path):
    return sorted(
        str(found.relative_to(path)) for found in path.rglob("*") if found.is_file()
    )


def test_a_result_replaces_the_former_and_keeps_what_the_user_added(tmp_path):
    out = tmp_path / "out"
    make(out, "model.pth", "images/a.png")
    (out / "notes.txt").write_text("mine")
    (out / "decode" / "test").mkdir(parents=True)
    (out / "decode" / "test" / "text").write_text("mine")
    (out / "images" / "mine.png").write_text("mine")
    make(out, "other.pth")
    kept = ["decode/test/text", "images/mine.png", "notes.txt"]
    assert names(out) == sorted([MANIFEST, "made", "other.pth", *kept])
    assert all((out / name).read_text() == "mine" for name in kept)
    assert os.listdir(tmp_path) == ["out"]


def test_a_result_of_an_earlier_release_is_known_by_its_names(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    for name in ("made", "old.pth", "notes.txt"):
        (out / name).write_text("old")
    make(out, "new.pth", former=("made", "*.pth"))
    assert names(out) == [MANIFEST, "made", "new.pth", "notes.txt"]


def test_a_file_of_the_user_under_a_name_of_the_result_is_not_replaced(tmp_path):
    out = tmp_path / "out"
    make(out)
    (out / "model.pth").write_text("mine")
    with pytest.raises(ValueError, match="model.pth: was not made by this command"):
        make(out, "model.pth")
    assert names(out) == [MANIFEST, "made", "model.pth"]
    assert (out / "model.pth").read_text() == "mine"
    assert os.listdir(tmp_path) == ["out"]


def test_neighbours_with_telling_names_stay(tmp_path):
    for name in ("out.old", "out.partial"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "precious").write_text("x")
    make(tmp_path / "out")
    make(tmp_path / "out")
    assert sorted(os.listdir(tmp_path)) == ["out", "out.old", "out.partial"]
    assert names(tmp_path / "out.old") == names(tmp_path / "out.partial")
    assert names(tmp_path / "out.old") == ["precious"]


@pytest.mark.parametrize("there", [True, False])
def test_a_symbolic_link_stays_one(tmp_path, there):
    disk = tmp_path / "disk"
    disk.mkdir()
    if there:
        make(disk / "out")
    (tmp_path / "out").symlink_to(disk / "out")
    make(tmp_path / "out", "model.pth")
    assert (tmp_path / "out").is_symlink()
    assert names(disk / "out") == [MANIFEST, "made", "model.pth"]


def test_something_else_is_left_alone(tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "precious").write_text("x")
    (tmp_path / "file").write_text("x")
    for name in ("other", "file"):
        with pytest.raises(ValueError, match="exists and was not made by this command"):
            make(tmp_path / name)
    assert names(tmp_path) == ["file", "other/precious"]
    (tmp_path / "empty").mkdir()
    make(tmp_path / "empty")


def test_two_runs_at_once(tmp_path):
    out = tmp_path / "out"
    with new_directory(out, "made") as partial:
        (partial / "made").write_text("first")
        with pytest.raises(ValueError, match="out: another run is writing"):
            make(out)
        make(tmp_path / "another")
    assert (out / "made").read_text() == "first"
    make(out)
    assert sorted(os.listdir(tmp_path)) == ["another", "out"]


def test_a_lock_left_by_a_killed_run_does_not_matter(tmp_path):
    (tmp_path / ".out.lock").touch()
    with directory_lock(tmp_path / "out"):
        pass
    assert os.listdir(tmp_path) == []


def test_an_error_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        with new_directory(tmp_path / "a" / "b" / "out", "made") as partial:
            (partial / "half").write_text("x")
            raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("path", ["", ".", "..", "../here"])
def test_the_current_directory_is_refused(tmp_path, monkeypatch, path):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(ValueError, match="is the current directory or above it"):
        check_output_dir(path)
    with pytest.raises(ValueError, match="is the current directory or above it"):
        make(path)


def test_permissions_are_those_of_other_new_files(tmp_path):
    make(tmp_path / "out")
    (tmp_path / "plain").mkdir()
    (tmp_path / "file").touch()
    write_text(tmp_path / "text", "x")
    modes = {name: (tmp_path / name).stat().st_mode for name in os.listdir(tmp_path)}
    assert modes["out"] == modes["plain"] and modes["text"] == modes["file"]


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "\ud800")
    assert path.read_text() == '{\n  "a": 1\n}\n'
    assert os.listdir(tmp_path) == ["a.json"]
