"""The work directory of an interrupted run."""

import pytest

from espnet_adaptive_dropout.compress.work import work_directory, working


def test_it_stays_after_an_error_and_goes_at_the_end(tmp_path):
    settings = {"model": "a.zip", "data": ["dev"]}
    with pytest.raises(RuntimeError), working(tmp_path / "out", settings) as work:
        (work / "recognised.jsonl").write_text("labels")
        raise RuntimeError
    assert work == tmp_path / "out.work"
    with working(tmp_path / "out", settings) as work:
        assert (work / "recognised.jsonl").read_text() == "labels"
    assert list(tmp_path.iterdir()) == []
    with working(tmp_path / "out", settings, keep=True):
        pass
    assert work.exists()


def test_an_error_before_anything_took_long_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), working(tmp_path / "out", {}) as work:
        (work / "config.yaml").write_text("")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_other_options_are_refused_by_name(tmp_path):
    with working(tmp_path / "out", {"model": "a", "data": ["x", "y"]}, keep=True):
        pass
    changed = {"model": "a", "data": ["x"]}
    message = r"other options: --data x \(was x y\); start it with the same"
    with pytest.raises(ValueError, match=message):
        with working(tmp_path / "out", changed):
            pass
    assert work_directory(tmp_path / "out").exists()


def test_a_directory_of_the_users_is_not_touched(tmp_path):
    (tmp_path / "out.work").mkdir()
    (tmp_path / "out.work" / "mine").write_text("mine")
    with pytest.raises(ValueError, match="was not made by this command"):
        with working(tmp_path / "out", {}):
            pass
    assert (tmp_path / "out.work" / "mine").exists()


def test_two_runs_at_once_are_refused(tmp_path):
    with working(tmp_path / "out", {}):
        with pytest.raises(ValueError, match="another run is writing"):
            with working(tmp_path / "out", {}):
                pass
