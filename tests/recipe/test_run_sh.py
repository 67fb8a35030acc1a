"""run.sh: what it asks of the stages, with a stand-in for the driver."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from support.paths import RECIPE, ROOT

SETTINGS = (RECIPE / "local" / "corpus_settings.sh").read_text()
PIECES = re.search(r"pieces=(\d+)", SETTINGS)[1]  # those of the default, toy
ADAPTIVE = f"exp/asr_train_asr_adaptive_dropout_toy_raw_en_bpe{PIECES}"
# Notes its arguments, one line a call, and makes what a training leaves.
DRIVER = """#!/usr/bin/env bash
printf '%s|' "$@" >> calls; echo >> calls
mkdir -p data
"""
PRUNE = """#!/usr/bin/env bash
printf 'prune|' >> calls; printf '%s|' "$@" >> calls; echo >> calls
"""


@pytest.fixture
def stages(recipe, run_in):
    """Function that runs run.sh with stand-ins; returns result and noted calls."""
    (recipe / "local").unlink()
    shutil.copytree(RECIPE / "local", recipe / "local", symlinks=True)
    (recipe / "local/asr.sh").write_text(DRIVER)
    (recipe / "local/prune.sh").write_text(PRUNE)
    (recipe / "local/export.sh").write_text(PRUNE.replace("prune", "export"))
    (recipe / "local/complete_pack.sh").write_text(PRUNE.replace("prune", "pack"))
    card = PRUNE.replace("prune", "card")
    (recipe / "local/complete_upload.sh").write_text(card)
    (recipe / "local/tools/compare.py").write_text("print('compared')\n")

    def run(*options, **env):
        calls = recipe / "calls"
        calls.unlink(missing_ok=True)
        done = run_in("./run.sh", *options, **env)
        lines = calls.read_text().splitlines() if calls.exists() else []
        return done, [line.rstrip("|").split("|") for line in lines]

    return run


def last(call: list, option: str) -> str:
    """Value of an option in a call; of several the last counts."""
    places = [i for i, word in enumerate(call) if word == option]
    return call[places[-1] + 1]


def span(call: list) -> tuple:
    return (int(last(call, "--stage")), int(last(call, "--stop_stage")))


def test_default_run(stages):
    done, calls = stages()
    assert done.returncode == 0, done.stderr
    assert [span(call) for call in calls if call[0] != "prune"] == [
        (1, 1),
        (2, 10),
        (11, 11),
        (12, 15),
    ]
    assert calls[3][0] == "prune"
    assert last(calls[3], "--asr_exp") == ADAPTIVE
    assert last(calls[3], "--model_file") == "valid.final_loss.ave.pth"
    assert last(calls[4], "--asr_exp") == f"{ADAPTIVE}_compact"
    assert last(calls[0], "--python") == "python3 -m espnet_adaptive_dropout"
    assert last(calls[0], "--test_sets") == "test_clean test_other"
    assert "compared" in done.stdout


# What ESPnet's recipes for LibriSpeech decode.
FOUR = "test_clean test_other dev_clean dev_other"


@pytest.mark.parametrize(
    "corpus, train, valid, test, pieces",
    [
        ("toy", "train", "dev", "test_clean test_other", PIECES),
        ("librispeech", "train_960", "dev", FOUR, "5000"),
        ("librispeech_100", "train_clean_100", "dev", FOUR, "5000"),
        ("mini_librispeech", "train_clean_5", "dev_clean_2", "dev_clean_2", "500"),
    ],
)
def test_corpora(stages, corpus, train, valid, test, pieces):
    _, calls = stages("--corpus", corpus, "--stop_stage", "1")
    assert len(calls) == 1
    assert last(calls[0], "--train_set") == train
    assert last(calls[0], "--valid_set") == valid
    assert last(calls[0], "--test_sets") == test
    assert last(calls[0], "--nbpe") == pieces
    assert f"--corpus {corpus} " in last(calls[0], "--local_data_opts")


def test_options_pass_through_and_win(stages):
    options = ("--nbpe=50", "--asr-tag", "x", "--asr_args", "--max_epoch 1")
    _, calls = stages(*options, "--stage", "11", "--stop_stage", "12")
    assert last(calls[0], "--nbpe") == "50"
    assert last(calls[0], "--asr_args") == "--max_epoch 1"
    assert last(calls[1], "--asr_exp") == "exp/asr_x"
    assert span(calls[2]) == (12, 12)


def test_pruning_can_be_left_out(stages):
    _, calls = stages("--prune", "false", "--stage", "11")
    assert [call[0] for call in calls].count("prune") == 0
    assert last(calls[-1], "--asr_exp") == ADAPTIVE


def test_other_size_and_criterion_have_their_own_directory(stages):
    options = ("--target_reduction", "0.4", "--criterion", "magnitude")
    _, calls = stages(*options, "--stage", "12")
    assert last(calls[0], "--output_dir") == f"{ADAPTIVE}_compact0.4_magnitude"
    assert last(calls[0], "--target_reduction") == "0.4"
    assert last(calls[1], "--asr_exp") == f"{ADAPTIVE}_compact0.4_magnitude"


def test_export_comes_after_pruning_and_of_what_is_decoded(stages):
    done, calls = stages("--export", "true", "--stage", "11")
    assert done.returncode == 0, done.stderr
    assert [call[0] for call in calls[1:]] == ["prune", "export", "--lang"]
    assert last(calls[2], "--asr_exp") == f"{ADAPTIVE}_compact"
    assert last(calls[2], "--model_file") == "valid.final_loss.ave.pth"
    assert last(calls[2], "--force") == "false"
    _, calls = stages("--export", "true", "--stop_stage", "10")
    assert "export" not in [call[0] for call in calls]
    done, calls = stages("--export", "true", "--prune", "false")
    assert "--export true needs --prune true" in done.stderr and calls == []


def test_export_without_its_packages_ends_before_the_training(stages, tmp_path):
    hidden = tmp_path / "onnx.py"
    hidden.write_text("raise ModuleNotFoundError")
    done, calls = stages("--export", "true", PYTHONPATH=f"{tmp_path}:{ROOT}")
    assert done.returncode == 1 and calls == []
    assert "pip install onnx onnxruntime" in done.stderr


def test_stock_config_is_not_pruned(stages):
    _, calls = stages("--asr_config", "conf/train_asr_conformer_toy.yaml")
    assert "prune" not in [call[0] for call in calls]
    assert last(calls[-1], "--inference_asr_model") == "valid.loss.ave.pth"


def test_baseline_goes_on_after_the_statistics(stages, recipe):
    stages("--stop_stage", "1")
    _, calls = stages("--baseline", "true", "--stop_stage", "11")
    assert span(calls[0]) == (1, 1)
    shapes = recipe / f"exp/asr_stats_raw_en_bpe{PIECES}/valid"
    shapes.mkdir(parents=True)
    (shapes / "text_shape.bpe").write_text("")
    done, calls = stages("--baseline", "true")
    assert span(calls[0]) == (11, 11)
    assert "conf/train_asr_conformer_toy.yaml" in calls[0]
    assert "going on with stage 11" in done.stdout


def test_corpora_are_not_mixed(stages):
    stages("--corpus", "smoke", "--stop_stage", "1")
    done, calls = stages("--corpus", "toy", "--stage", "2")
    assert done.returncode == 1
    assert "data was made from 'smoke', not 'toy'" in done.stderr
    assert calls == []
    stages("--corpus", "toy", "--asr_tag", "x", "--stop_stage", "11")
    done, _ = stages("--corpus", "smoke", "--asr_tag", "x", "--stop_stage", "11")
    assert done.returncode == 1
    assert "exp/asr_x was made from 'toy', not 'smoke'" in done.stderr


def test_own_corpus_takes_the_test_sets_that_it_has(stages, tmp_path):
    tree = tmp_path / "tree" / "LibriSpeech"
    for subset in ("train-own", "dev-own", "test-clean", "test-car"):
        (tree / subset).mkdir(parents=True)
    _, calls = stages("--corpus_dir", str(tree.parent), "--stop_stage", "1")
    assert last(calls[0], "--test_sets") == "test_car test_clean"
    assert f"--corpus_dir {tree.parent}" in last(calls[0], "--local_data_opts")
    for subset in ("test-clean", "test-car"):
        (tree / subset).rmdir()
    _, calls = stages("--corpus_dir", str(tree), "--stop_stage", "1")
    assert last(calls[0], "--test_sets") == "dev"


@pytest.mark.parametrize(
    "options, said",
    [
        (("--corpus", "swb"), "--corpus swb is unknown"),
        (("--corpus_dir", "/no/where"), "--corpus_dir /no/where: no such directory"),
        (("--nbep", "3"), "unknown option --nbep"),
        (("--prune", "maybe"), "--prune must be true or false"),
        (("--asr_config", "conf/no.yaml"), "conf/no.yaml: no such training config"),
        (("toy",), "no argument without -- is known: 'toy'"),
        (("--stage",), "option --stage needs a value"),
    ],
)
def test_errors_are_one_line(stages, options, said):
    done, calls = stages(*options)
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert calls == []


@pytest.fixture
def checkout(tmp_path):
    """Directory that looks like an ESPnet checkout."""
    template = tmp_path / "espnet/egs2/TEMPLATE/asr1"
    for name in ("utils", "scripts", "pyscripts"):
        (template / name).mkdir(parents=True)
    (template / "asr.sh").write_text(DRIVER)
    (template / "asr.sh").chmod(0o755)
    (template / "db.sh").write_text("")
    return tmp_path / "espnet"


def test_espnet_checkout_runs_the_stages(stages, recipe, checkout):
    # use_streaming is an option of ESPnet's asr.sh that local/asr.sh lacks
    options = ("--use_streaming=false", "--hf_repo", "me/it")
    done, calls = stages(*options, ESPNET_ROOT=str(checkout))
    assert done.returncode == 0, done.stderr
    assert last(calls[0], "--use_streaming") == "false"
    template = checkout / "egs2/TEMPLATE/asr1"
    for name in ("utils", "db.sh"):
        assert (recipe / name).resolve() == template / name
    assert [call[0] for call in calls[-4:]] == ["prune", "--lang", "pack", "--lang"]
    assert [span(calls[-3]), span(calls[-1])] == [(12, 14), (15, 15)]
    compact = f"{ADAPTIVE}_compact"
    zipped = f"{compact}/{Path(compact).name}_valid.final_loss.ave.zip"
    assert last(calls[-2], "--packed_model") == zipped
    assert last(calls[-2], "--hf_repo") == "me/it"
    upload = ("--stage", "15", "--skip_upload_hf", "false")
    done, calls = stages(*options, *upload, ESPNET_ROOT=str(checkout))
    assert [call[0] for call in calls] == ["--lang", "card"]
    assert span(calls[0]) == (15, 15)
    assert last(calls[1], "--asr_exp") == compact
    assert last(calls[1], "--packed_model") == zipped
    # what is in the way of a link is not overwritten
    (recipe / "utils").unlink()
    (recipe / "utils").mkdir()
    done, calls = stages(ESPNET_ROOT=str(checkout))
    assert done.returncode == 1
    assert f"{recipe}/utils is in the way of a link" in done.stderr
    assert calls == []


def test_no_checkout(stages, recipe):
    done, _ = stages(ESPNET_ROOT=str(recipe))
    assert done.returncode == 1
    assert "it must be a checkout of ESPnet" in done.stderr


@pytest.mark.parametrize("linked", [True, False])
def test_recipe_in_a_checkout_finds_it(stages, recipe, recipe_env, checkout, linked):
    place = checkout / "egs2/mine/asr1"
    place.parent.mkdir()
    if linked:
        place.symlink_to(recipe)
    else:
        shutil.copytree(recipe, place)  # no repository around it
        recipe_env["PYTHONPATH"] = str(ROOT)  # as if installed
    stages("--stop_stage", "1")  # with its stand-ins in place
    for env, driver in (({}, "./asr.sh"), ({"ESPNET_ROOT": "none"}, "local/asr.sh")):
        (place / "calls").unlink(missing_ok=True)
        (checkout / "egs2/TEMPLATE/asr1/asr.sh").write_text(
            DRIVER.replace("$@", '$0" "$@')
        )
        (place / "local/asr.sh").write_text(DRIVER.replace("$@", '$0" "$@'))
        done = subprocess.run(
            ["./run.sh", "--stop_stage", "1"],
            cwd=place,
            env={**recipe_env, "PWD": str(place), **env},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert (place / "calls").read_text().split("|")[0] == driver


def test_any_current_directory(stages, recipe, recipe_env, tmp_path):
    (tmp_path / "corpus" / "test-x").mkdir(parents=True)
    command = [str(recipe / "run.sh"), "--corpus_dir", "corpus", "--stop_stage", "1"]
    subprocess.run(
        command, cwd=tmp_path, env=recipe_env, check=True, capture_output=True
    )
    assert f"--corpus_dir {tmp_path}/corpus|" in (recipe / "calls").read_text()
