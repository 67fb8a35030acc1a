"""local/sweep.sh: what it asks of bin.sweep, with a stand-in for Python."""

from __future__ import annotations

import os

import pytest
from support.paths import RECIPE

EXP = "exp/asr_x"


@pytest.fixture
def sweep(recipe, run_in, make_set):
    """Function that runs local/sweep.sh; returns the result and its words."""
    stand_in = recipe / "bin" / "python3"
    stand_in.parent.mkdir()
    stand_in.write_text('#!/usr/bin/env bash\nprintf "%s\\n" "$@" > called\n')
    stand_in.chmod(0o755)
    (recipe / EXP).mkdir(parents=True)
    (recipe / EXP / "config.yaml").write_text("")
    (recipe / EXP / "model.pth").write_text("")
    (recipe / EXP / ".corpus").write_text("toy\n")
    (recipe / "dump").mkdir()
    (recipe / "dump/raw").symlink_to(recipe / "data")
    for name in ("test_clean", "test_other"):
        make_set(name, {"a-1": 0.2})

    def run(*options):
        done = run_in(
            *("local/sweep.sh", "--asr_exp", EXP, "--model_file", "model.pth"),
            *options,
            ADAPRUNE_READY=f"{RECIPE} none",
            PATH=f"{stand_in.parent}:{os.environ['PATH']}",
        )
        called = recipe / "called"
        return done, called.read_text().splitlines() if called.exists() else []

    return run


def values(words: list, option: str) -> list:
    """The words after an option, up to the next one."""
    rest = words[words.index(option) + 1 :]
    ends = [i for i, word in enumerate(rest) if word.startswith("--")]
    return rest[: ends[0]] if ends else rest


def test_defaults_are_the_corpus_s(sweep):
    done, words = sweep("--nj", "3")
    assert done.returncode == 0, done.stderr
    assert words[:2] == ["-m", "espnet_adaptive_dropout.bin.sweep"]
    assert values(words, "--train_config") == [f"{EXP}/config.yaml"]
    assert values(words, "--model_file") == [f"{EXP}/model.pth"]
    assert values(words, "--output_dir") == [f"{EXP}_sweep"]
    assert values(words, "--target_reduction")[0] == "0.2"
    assert values(words, "--inference_config") == ["conf/decode_asr_ctc.yaml"]
    sets = ["dump/raw/test_clean", "dump/raw/test_other"]
    assert values(words, "--test_sets") == sets
    assert values(words, "--nj") == ["3"]
    assert "--criterion" not in words


def test_corpus_in_a_directory(sweep, recipe):
    tree = recipe / "corpus"
    (tree / "test-other").mkdir(parents=True)
    (recipe / EXP / ".corpus").write_text(f"medium {tree}\n")
    _, words = sweep()
    assert values(words, "--inference_config") == ["conf/decode_asr.yaml"]
    assert values(words, "--test_sets") == ["dump/raw/test_other"]


def test_options(sweep):
    _, words = sweep("--criterion", "taylor", "--target_reductions", "0.5 0.6")
    assert values(words, "--criterion") == ["taylor"]
    assert values(words, "--target_reduction") == ["0.5", "0.6"]
    assert values(words, "--output_dir") == [f"{EXP}_sweep_taylor"]
    _, words = sweep("--decode", "false")
    assert "--inference_config" not in words and "--test_sets" not in words


@pytest.mark.parametrize(
    "options, message",
    [
        (["--model_file", "none.pth"], f"{EXP}/none.pth is missing: run stage 11"),
        (["--test_sets", "dev"], "dump/raw/dev/wav.scp is missing: run stage 3"),
        (["--asr_exp", ""], "--asr_exp is required"),
    ],
)
def test_refusals(sweep, options, message):
    done, words = sweep(*options)
    assert done.returncode != 0 and words == []
    assert message in done.stderr
