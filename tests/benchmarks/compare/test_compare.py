"""The whole comparison on nine utterances: trainings, cuts and decoding."""

from __future__ import annotations

import os
import threading
from unittest import mock

import pytest
import torch
import yaml
from support.benchmark_recipe import DENSE, write_recipe

from benchmarks.compare import __main__ as compare
from benchmarks.compare.configs import encoder_parameters
from benchmarks.compare.corpus import prepare
from benchmarks.files import read_json
from benchmarks.tables import __main__ as tables
from espnet_adaptive_dropout.plugin import runner


class InThisProcess:
    """Runs steps without a process of their own; their logs stay empty."""

    def __call__(self, step, cwd, log):
        log.touch()
        here = os.getcwd()
        os.chdir(cwd)
        try:
            with mock.patch("sys.argv"):
                runner.main(["-m", step.module, *step.args])
        finally:
            os.chdir(here)
        return 0


def training_stats(run):
    """Statistics of the epochs that a training has run since its checkpoint."""
    state = torch.load(run / "checkpoint.pth", weights_only=False)
    return state["reporter"]["stats"]


def test_comparison_from_training_to_tables(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(compare, "ForkedCommands", InThisProcess)
    recipe = write_recipe(tmp_path / "recipe")
    exp = tmp_path / "exp"
    command = [
        *("--recipe_dir", str(recipe), "--exp", str(exp), "--dense_config", DENSE),
        *("--test_sets", "test", "--seeds", "1", "--target", "0.4", "--jobs", "1"),
        *("--rows", "ours,gradual,taylor_early_taught"),
        *("--utterances", "8", "--max_epoch", "4"),
    ]
    compare.main([*command, "--list"])
    assert "todo  seed1/ours" in capsys.readouterr().out
    compare.main(command)
    dense = encoder_parameters(yaml.safe_load((recipe / DENSE).read_text()))
    for run in ("ours", "gradual", "taylor_early_taught_20"):
        result = read_json(exp / f"seed1/{run}/result.json")
        assert 1.0 - result["encoder_params"] / dense == pytest.approx(0.4, abs=0.01)
        assert result["sets"]["test"]["words"] == 9
    assert sorted(training_stats(exp / "seed1/ours/train1")) == [*range(5, 21)]
    stats = training_stats(exp / "seed1/gradual/train5")
    assert sorted(stats) == [*range(15, 21)]
    stats = training_stats(exp / "seed1/taylor_early_taught_20/train1")
    assert all(epoch["train"]["distillation"] > 0.0 for epoch in stats.values())

    capsys.readouterr()
    compare.main(command)
    assert "0 tasks to run" in capsys.readouterr().out
    tables.main(["--exp", str(exp)])
    text = (exp / "RESULTS.md").read_text()
    assert "gradual magnitude" in text
    assert "(4 passes through 8 utterances)" in text
    with pytest.raises(SystemExit, match="holds runs with max_epoch=4.0, not 5.0"):
        compare.main([*command[:-1], "5"])


def test_comparison_of_a_hybrid_model(tmp_path, monkeypatch):
    monkeypatch.setattr(compare, "ForkedCommands", InThisProcess)
    recipe = write_recipe(tmp_path / "recipe")
    config = yaml.safe_load((recipe / DENSE).read_text())
    config.update(
        decoder="transformer",
        decoder_conf=dict(attention_heads=2, linear_units=32, num_blocks=1),
        model_conf=dict(ctc_weight=0.3, report_cer=False, report_wer=False),
    )
    hybrid = tmp_path / "hybrid.yaml"
    hybrid.write_text(yaml.safe_dump(config))
    exp = tmp_path / "exp"
    command = [
        *("--recipe_dir", str(recipe), "--exp", str(exp)),
        *("--dense_config", str(hybrid), "--test_sets", "test", "--seeds", "1"),
        *("--target", "0.4", "--jobs", "1", "--utterances", "8", "--max_epoch", "4"),
    ]
    compare.main([*command, "--rows", "dense,both_taught"])
    tables.main(["--exp", str(exp)])
    dense, both = read_json(exp / "results.json")["rows"]
    assert both["removed"] == pytest.approx(0.4, abs=0.01)
    result = both["results"]["1"]
    assert result["decoder_params"] < dense["results"]["1"]["decoder_params"]
    assert result["decoding"].startswith("search")


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
