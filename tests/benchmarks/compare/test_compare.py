"""The whole comparison on nine utterances: real trainings, cuts and decoding."""

from __future__ import annotations

import os
import threading

import pytest
import yaml
from support.benchmark_recipe import DENSE, write_recipe

from benchmarks.compare import __main__ as compare
from benchmarks.compare.configs import encoder_parameters
from benchmarks.compare.corpus import prepare
from benchmarks.files import read_json
from benchmarks.tables import __main__ as tables


@pytest.mark.slow
def test_comparison_from_training_to_tables(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    recipe = write_recipe(tmp_path / "recipe")
    exp = tmp_path / "exp"
    command = [
        *("--recipe_dir", str(recipe), "--exp", str(exp), "--dense_config", DENSE),
        *("--test_sets", "test", "--seeds", "1", "--target", "0.4"),
        *(
            "--rows",
            "ours,ours_whole,gradual,ramp_from_half",
            "--jobs",
            "1",
            "--utterances",
            "8",
        ),
        *("--max_epoch", "4"),
    ]
    here = os.getcwd()
    compare.main([*command, "--list"])
    assert "todo  seed1/ours" in capsys.readouterr().out
    compare.main(command)
    assert os.getcwd() == here
    dense = encoder_parameters(yaml.safe_load((recipe / DENSE).read_text()))
    for run in ("ours", "ours_whole", "gradual", "ramp_from_half"):
        result = read_json(exp / f"seed1/{run}/result.json")
        assert 1.0 - result["encoder_params"] / dense == pytest.approx(0.4, abs=0.01)
        assert result["sets"]["test"]["words"] == 9
    log = (exp / "seed1/gradual/logs/train5_20.log").read_text()
    assert "The training was resumed using" in log
    assert "15/20epoch started" in log and "14/20epoch started" not in log

    for run, first in (("ours", 7), ("ramp_from_half", 11)):
        log = (exp / f"seed1/{run}/logs/train1_20.log").read_text()
        assert f" {first}/20epoch started" in log
        assert f" {first - 1}/20epoch started" not in log

    capsys.readouterr()
    compare.main(command)
    assert "0 tasks to run" in capsys.readouterr().out
    tables.main(["--exp", str(exp)])
    text = (exp / "RESULTS.md").read_text()
    assert "gradual magnitude" in text
    assert "(4 passes through 8 utterances)" in text
    with pytest.raises(SystemExit, match="holds runs with max_epoch=4.0, not 5.0"):
        compare.main([*command[:-1], "5"])


def test_a_second_comparison_is_kept_out(tmp_path):
    with compare.only_one(tmp_path):
        with pytest.raises(ValueError, match="another comparison is running in"):
            with compare.only_one(tmp_path):
                pass
    with compare.only_one(tmp_path):
        pass


def test_a_second_comparison_waits_for_shared_data(tmp_path):
    begun, order = threading.Event(), []

    def second():
        begun.set()
        with compare.only_one(tmp_path, wait=True):
            order.append("second")

    thread = threading.Thread(target=second)
    with compare.only_one(tmp_path, wait=True):
        thread.start()
        begun.wait()
        thread.join(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_scores_of_other_speech_are_forgotten(tmp_path):
    recipe = write_recipe(tmp_path / "recipe")
    exp = tmp_path / "exp"
    run = exp / "seed1/ours"
    (run / "done").mkdir(parents=True)
    few, more = (
        prepare(recipe, "train", "dev", sets) for sets in (["test"], ["test", "train"])
    )

    def score():
        for name in ("result.json", "done/score.json", "done/train_20.json"):
            (run / name).write_text("{}")

    compare.keep_sets(exp, few)
    score()
    compare.keep_sets(exp, few)
    assert (run / "result.json").exists() and (run / "done/score.json").exists()
    compare.keep_sets(exp, more)
    assert not (run / "result.json").exists() and not (run / "done/score.json").exists()
    assert (run / "done/train_20.json").exists()
    assert list(read_json(exp / "sets.json")) == ["dev", "test", "train"]


def test_mistakes_end_in_one_line(tmp_path):
    with pytest.raises(SystemExit, match="compare: --rows nothing: no such row"):
        compare.main(["--rows", "nothing"])
    with pytest.raises(SystemExit, match="no run.sh in it"):
        compare.main(["--recipe_dir", str(tmp_path)])
    with pytest.raises(SystemExit, match="tables: .*: no results; run"):
        tables.main(["--exp", str(tmp_path)])
