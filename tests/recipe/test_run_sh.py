"""run.sh: what it asks of asr.sh and of the package, with stand-ins for both."""

from __future__ import annotations

import fcntl
import re
import shutil
import subprocess
import sys

import pytest
from support.paths import RECIPE, ROOT

SETTINGS = (RECIPE / "local" / "corpus_settings.sh").read_text()
PIECES = re.search(r"pieces=(\d+)", SETTINGS)[1]  # those of the default, toy
ADAPTIVE = f"exp/asr_train_asr_adaptive_dropout_toy_raw_en_bpe{PIECES}"
# Notes its arguments, one line a call, and makes what a training leaves.
ASR_SH = """#!/usr/bin/env bash
: << 'OPTIONS'
{options}
OPTIONS
printf '%s|' asr.sh "$@" >> calls; echo >> calls
while [ $# -gt 0 ]; do declare "${{1#--}}=$2"; shift 2; done
[ "${{stage}}" != "${{FAIL:-}}" ] || {{ echo "it went wrong" >&2; exit 1; }}
if [ "${{stage}}" = 11 ]; then touch "${{asr_exp}}/${{inference_asr_model}}"; fi
"""
OPTIONS = """stage stop_stage asr_tag asr_args asr_config nbpe ngpu hf_repo
skip_upload_hf skip_packing test_sets dumpdir""".split()
# A Python that notes calls of the package and makes what pruning leaves.
PYTHON = """#!/usr/bin/env bash
case "$*" in
    *local/espnet_scripts.py*) printf '%s\\n\\n' "${{@: -1}}" ;;
    *local/compare.py*) echo "compared $*" ;;
    "-m espnet_adaptive_dropout.bin."*)
        printf '%s|' "${{2##*.}}" "${{@:3}}" >> calls; echo >> calls
        if [[ $2 == *.prune ]]; then
            while [ "$1" != --output_dir ]; do shift; done
            mkdir -p "$2"; touch "$2/valid.final_loss.ave.pth"
        fi ;;
    *) exec {python} "$@" ;;
esac
"""


@pytest.fixture
def checkout(tmp_path):
    """What run.sh needs of an ESPnet checkout."""
    template = tmp_path / "espnet/egs2/TEMPLATE/asr1"
    for name in ("utils", "scripts", "pyscripts"):
        (template / name).mkdir(parents=True)
    options = "\n".join(f"{name}=" for name in OPTIONS)
    (template / "asr.sh").write_text(ASR_SH.format(options=options))
    (template / "asr.sh").chmod(0o755)
    (template / "db.sh").write_text("")
    return tmp_path / "espnet"


@pytest.fixture
def environment(tmp_path):
    """A Python environment with the stand-in for Python."""
    folder = tmp_path / "venv/bin"
    folder.mkdir(parents=True)
    (folder / "activate").write_text(f"PATH={folder}:$PATH\n")
    (folder / "python3").write_text(PYTHON.format(python=sys.executable))
    (folder / "python3").chmod(0o755)
    return folder.parent


@pytest.fixture
def stages(recipe, run_in, checkout, environment):
    """Function that runs run.sh with stand-ins; returns result and noted calls."""

    def run(*options, **env):
        calls = recipe / "calls"
        calls.unlink(missing_ok=True)
        given = dict(ESPNET_ROOT=str(checkout), ADAPRUNE_VENV=str(environment))
        done = run_in("./run.sh", *options, **{**given, **env})
        lines = calls.read_text().splitlines() if calls.exists() else []
        return done, [line.rstrip("|").split("|") for line in lines]

    return run


def last(call: list, option: str) -> str:
    """Value of an option in a call; of several the last counts."""
    places = [i for i, word in enumerate(call) if word == option]
    return call[places[-1] + 1]


def steps(calls: list) -> list:
    """Stages by their numbers, other commands by their names."""
    return [last(c, "--stage") if c[0] == "asr.sh" else c[0] for c in calls]


def test_default_run(stages, recipe, checkout):
    done, calls = stages()
    assert done.returncode == 0, done.stderr
    assert steps(calls) == "1 3 4 5 10 11 prune 12 13 14".split()
    assert all(last(c, "--stop_stage") == s for c, s in zip(calls[:6], steps(calls)))
    assert last(calls[5], "--asr_exp") == ADAPTIVE
    prune = calls[6]
    assert last(prune, "--train_config") == f"{ADAPTIVE}/config.yaml"
    assert last(prune, "--model_file") == f"{ADAPTIVE}/valid.final_loss.ave.pth"
    assert last(prune, "--output_dir") == last(calls[7], "--asr_exp")
    assert last(calls[7], "--asr_exp") == f"{ADAPTIVE}_compact"
    assert last(calls[0], "--python") == "python3 -m espnet_adaptive_dropout"
    assert "--corpus toy" in done.stdout and "compared" in done.stdout
    for name in ("utils", "db.sh"):
        link = recipe / name
        assert link.resolve() == checkout / "egs2/TEMPLATE/asr1" / name
    # Again: nothing has changed, so the model is not pruned again.
    _, calls = stages("--stage", "12", "--stop_stage", "12")
    assert steps(calls) == ["12"]


# What ESPnet's recipes for LibriSpeech decode.
FOUR = "test_clean test_other dev_clean dev_other"


@pytest.mark.parametrize(
    "corpus, train, valid, test, pieces",
    [
        ("librispeech", "train_960", "dev", FOUR, "5000"),
        ("mini_librispeech", "train_clean_5", "dev_clean_2", "dev_clean_2", "500"),
    ],
)
def test_corpora(stages, corpus, train, valid, test, pieces):
    _, calls = stages("--corpus", corpus, "--stop_stage", "2")
    assert steps(calls) == ["1", "2"]  # with speed perturbation
    assert last(calls[0], "--train_set") == train
    assert last(calls[0], "--valid_set") == valid
    assert last(calls[0], "--test_sets") == test
    assert last(calls[0], "--nbpe") == pieces
    assert f"--corpus {corpus} " in last(calls[0], "--local_data_opts")


def test_options_pass_through_and_win(stages):
    options = ("--nbpe=50", "--asr-tag", "x", "--asr_args", "--max_epoch 1")
    _, calls = stages(*options, "--stage", "11", "--stop_stage", "12")
    assert steps(calls) == ["11", "prune", "12"]
    assert last(calls[0], "--nbpe") == "50"
    assert last(calls[0], "--asr_args") == "--max_epoch 1"
    assert last(calls[0], "--asr_stats_dir") == "exp/asr_stats_raw_en_bpe50"
    assert last(calls[2], "--asr_exp") == "exp/asr_x_compact"


def test_extras_come_after_pruning(stages, recipe):
    (recipe / ADAPTIVE).mkdir(parents=True)
    (recipe / ADAPTIVE / "valid.final_loss.ave.pth").touch()
    extras = ("--export", "true", "--sweep", "0.2 0.3", "--report", "true")
    options = ("--target_reduction", "0.4", "--criterion", "magnitude")
    _, calls = stages(*options, *extras, "--stage", "12")
    assert steps(calls) == "prune export 12 13 14 sweep report".split()
    prune, export, _, _, decode, sweep, report = calls
    final = f"{ADAPTIVE}_compact0.4_magnitude"
    assert last(prune, "--output_dir") == last(decode, "--asr_exp") == final
    assert last(prune, "--target_reduction") == "0.4"
    assert last(export, "--output_dir") == f"{final}/export"
    assert last(sweep, "--output_dir") == f"{ADAPTIVE}_sweep_magnitude"
    assert "|--target_reduction|0.2|0.3|--criterion|magnitude|" in "|".join(sweep)
    assert last(sweep, "--inference_config") == "conf/decode_asr_ctc.yaml"
    assert last(report, "--pruned") == final
    _, calls = stages(*options, *extras, "--stop_stage", "10")
    assert steps(calls) == "1 3 4 5 10".split()


@pytest.mark.parametrize(
    "options",
    [("--prune", "false"), ("--asr_config", "conf/train_asr_conformer_toy.yaml")],
)
def test_without_pruning(stages, options):
    _, calls = stages(*options, "--stage", "11")
    assert steps(calls) == ["11", "12", "13", "14"]
    assert last(calls[0], "--asr_exp") == last(calls[1], "--asr_exp")
    criterion = "loss" if "conformer" in options[1] else "final_loss"
    model = f"valid.{criterion}.ave.pth"
    assert last(calls[1], "--inference_asr_model") == model


def test_baseline_goes_on_after_the_statistics(stages, recipe):
    stages("--stop_stage", "1")
    shapes = recipe / f"exp/asr_stats_raw_en_bpe{PIECES}/valid"
    shapes.mkdir(parents=True)
    (shapes / "text_shape.bpe").write_text("")
    done, calls = stages("--baseline", "true")
    assert steps(calls) == ["11", "12", "13", "14"]
    assert "conf/train_asr_conformer_toy.yaml" in calls[0]
    assert "going on with stage 11" in done.stdout


def test_corpora_are_not_mixed(stages):
    stages("--corpus", "smoke", "--asr_tag", "x", "--stop_stage", "11")
    done, calls = stages("--corpus", "toy", "--stage", "2")
    assert (done.returncode, calls) == (1, [])
    assert "data was made from 'smoke', not 'toy'" in done.stderr
    done, calls = stages("--corpus", "toy", "--asr_tag", "x")
    assert (done.returncode, calls) == (1, [])
    assert "exp/asr_x was made from 'smoke', not 'toy'" in done.stderr


def test_stages_after_an_interrupted_one_are_refused(stages):
    done, calls = stages(FAIL="4")
    assert (done.returncode, steps(calls)) == (1, ["1", "3", "4"])
    assert done.stderr.endswith("run.sh: error: stage 4 failed: see above\n")
    done, calls = stages("--stage", "5")
    assert (done.returncode, calls) == (1, [])
    assert "stage 4 was interrupted or failed in data: go on with --st" in done.stderr
    _, calls = stages("--stage", "4", "--stop_stage", "5")
    assert steps(calls) == ["4", "5"]
    # A training goes on where it stopped, and what there is can be decoded.
    done, calls = stages("--stage", "10", FAIL="11")
    assert steps(calls) == ["10", "11"]
    assert "run.sh: error: stage 11 failed" in done.stderr
    done, calls = stages("--stage", "12")
    assert "run stage 11 first" in done.stderr and calls == []
    stages("--stage", "11", FAIL="12")
    done, calls = stages("--stage", "13")
    assert "stage 12 was interrupted or failed in exp/" in done.stderr and calls == []


def test_two_runs_in_one_directory(stages, recipe):
    _, calls = stages("--stop_stage", "11")
    assert steps(calls)[-1] == "prune"
    with open(recipe / "data/.lock") as data, open(recipe / ADAPTIVE / ".lock") as exp:
        fcntl.flock(data, fcntl.LOCK_SH)  # as another run.sh in stage 11
        done, calls = stages("--stage", "10")
        assert (done.returncode, calls) == (1, [])
        assert f"another run.sh is at work in {recipe}/data" in done.stderr
        _, calls = stages("--stage", "12", "--stop_stage", "12")
        assert steps(calls) == ["12"]
        fcntl.flock(exp, fcntl.LOCK_EX)
        done, calls = stages("--stage", "12")
        assert (done.returncode, calls) == (1, [])
        assert f"another run.sh is at work in {recipe}/{ADAPTIVE}" in done.stderr


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
        (("--stage", "one"), "--stage must be a whole number, not 'one'"),
        (("toy",), "no argument without -- is known: 'toy'"),
        (("--stage",), "option --stage needs a value"),
        (("--target_reduction", "54"), "did you mean 0.54?"),
        (("--skip_upload_hf", "false"), "stage 15 needs --hf_repo USER/NAME"),
    ],
)
def test_errors_are_one_line(stages, options, said):
    done, calls = stages(*options)
    assert done.returncode == 1
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert calls == []


def test_what_is_in_the_way_of_a_link_is_not_overwritten(stages, recipe):
    (recipe / "utils").mkdir()
    done, calls = stages()
    assert (done.returncode, calls) == (1, [])
    assert f"{recipe}/utils is in the way of a link" in done.stderr


@pytest.mark.parametrize("linked", [True, False])
def test_recipe_in_a_checkout_finds_it(
    recipe, recipe_env, checkout, environment, linked
):
    place = checkout / "egs2/mine/asr1"
    place.parent.mkdir()
    if linked:
        place.symlink_to(recipe)
    else:
        shutil.copytree(recipe, place)  # no repository around it
        recipe_env["PYTHONPATH"] = str(ROOT)  # as if installed
    del recipe_env["ESPNET_ROOT"]
    done = subprocess.run(
        [place / "run.sh", "--stop_stage", "1"],
        cwd=place,
        env={**recipe_env, "PWD": str(place), "ADAPRUNE_VENV": str(environment)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (place / "asr.sh").resolve().is_relative_to(checkout)


def test_any_current_directory(recipe, stages, recipe_env, checkout, tmp_path):
    (tmp_path / "corpus" / "test-x").mkdir(parents=True)
    env = {**recipe_env, "ESPNET_ROOT": "espnet", "ADAPRUNE_VENV": f"{tmp_path}/venv"}
    command = [recipe / "run.sh", "--corpus_dir", "corpus", "--stop_stage", "1"]
    subprocess.run(command, cwd=tmp_path, env=env, check=True, capture_output=True)
    assert f"--corpus_dir {tmp_path}/corpus|" in (recipe / "calls").read_text()
