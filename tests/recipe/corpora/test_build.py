"""From settings to a finished corpus, all or nothing."""

import fcntl
import os
import shutil
from types import SimpleNamespace

import pytest
from support.recipe_synth import SCALE, contents, small_corpus
from synth import build as module
from synth.build import build
from synth.errors import SynthError
from synth.plan import make_plan
from synth.reading import read_chapter
from synth.sizes import SIZES


def test_same_bytes_in_other_processes_and_in_another_order(tmp_path):
    root = tmp_path / "LibriSpeech"
    for chapter in reversed(
        make_plan(SIZES["smoke"].scaled(SCALE), SIZES["smoke"].seed)
    ):
        read_chapter(chapter, root, tmp_path)
    audio = {
        name: data for name, data in contents(small_corpus()).items() if "/" in name
    }
    assert len(audio) > 30
    assert contents(root) == audio


def test_the_second_run_does_nothing(tmp_path, monkeypatch):
    shutil.copytree(small_corpus(), tmp_path / "LibriSpeech")
    monkeypatch.setattr(module, "make_plan", None)
    assert "nothing to do" in build(tmp_path, "smoke", SCALE, jobs=2)


def test_other_settings_are_refused(tmp_path):
    shutil.copytree(small_corpus(), tmp_path / "LibriSpeech")
    with pytest.raises(SynthError, match="other settings"):
        build(tmp_path, "smoke", 2 * SCALE, jobs=1)


def test_a_foreign_corpus_is_left_alone(tmp_path):
    (tmp_path / "LibriSpeech").mkdir()
    with pytest.raises(SynthError, match="not made by this program"):
        build(tmp_path, "smoke", SCALE, jobs=1)
    assert list((tmp_path / "LibriSpeech").iterdir()) == []


def test_too_little_space_is_said_before_anything_is_made(tmp_path, monkeypatch):
    usage = SimpleNamespace(free=10_000_000)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(SynthError, match="has 10 MB free, the corpus needs about"):
        build(tmp_path, "smoke", 1.0, jobs=1)
    assert list(tmp_path.iterdir()) == []


def test_two_runs_at_once_are_refused(tmp_path):
    handle = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        with pytest.raises(SynthError, match="another run is writing"):
            build(tmp_path, "smoke", SCALE, jobs=1)
    finally:
        os.close(handle)


def test_a_failure_leaves_nothing_and_removes_what_was_left(tmp_path, monkeypatch):
    users = tmp_path / "LibriSpeech.partial"
    users.mkdir()
    stale = tmp_path / ".LibriSpeech.unfinished" / "train-clean-100"
    stale.mkdir(parents=True)

    def fail(plan, root, jobs):
        assert not stale.exists()
        (root / "half.flac").write_bytes(b"half")
        raise OSError(28, "No space left on device", str(root / "half.flac"))

    monkeypatch.setattr(module, "_read_all", fail)
    with pytest.raises(SynthError, match="half.flac: No space left on device"):
        build(tmp_path, "smoke", SCALE, jobs=1)
    assert list(tmp_path.iterdir()) == [users]


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SynthError, match="cannot write .*file"):
        build(tmp_path / "file", "smoke", SCALE, jobs=1)
