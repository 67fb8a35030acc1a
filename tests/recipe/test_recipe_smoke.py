"""The whole recipe on the smallest corpus, from its synthesis to the packed model.

One run of all stages serves all tests here. It needs ESPnet's asr.sh: ESPNET_ROOT, or
what setup_env.sh has put beside the environment.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
import yaml
from support.paths import RECIPE

# Few parallel jobs: each one imports ESPnet, which takes longer than its work.
OPTIONS = "--corpus smoke --ngpu 0 --nj 1 --inference_nj 1 --test_sets test_clean"
# Short epochs
OPTIONS = [*OPTIONS.split(), "--asr_args", "--num_iters_per_epoch 12"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Function that runs run.sh in one recipe directory."""
    directory = tmp_path_factory.mktemp("smoke") / "asr1"
    directory.mkdir()
    for name in ("run.sh", "path.sh", "cmd.sh", "local", "conf"):
        (directory / name).symlink_to(RECIPE / name)
    env = {**os.environ, "ADAPRUNE_VENV": sys.prefix}
    env.pop("ADAPRUNE_READY", None)

    def call(*options):
        return subprocess.run(
            ["./run.sh", *OPTIONS, *options],
            cwd=directory,
            env=env,
            capture_output=True,
            text=True,
        )

    call.directory = directory
    return call


@pytest.fixture(scope="module")
def finished(run):
    """The recipe directory after all stages, and what run.sh printed."""
    started = time.time()
    done = run()
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    print(f"\nsmoke run: {time.time() - started:.0f} s")
    print("\n".join(line for line in done.stdout.splitlines() if " took " in line))
    return run.directory, done.stdout


def the_one(directory: Path, pattern: str) -> Path:
    found = sorted(directory.glob(pattern))
    assert len(found) == 1, f"{pattern}: {found}"
    return found[0]


def test_stages_and_their_files(finished):
    directory, output = finished
    for number in (1, 3, 4, 5, 10, 11, 12, 13, 14):
        assert f"Stage {number} took" in output
    the_one(directory, "data/en_token_list/bpe_unigram*/bpe.model")
    the_one(directory, "exp/asr_stats_raw_en_bpe*/train/feats_stats.npz")
    experiment = the_one(directory, "exp/asr_train_*_smoke_raw_en_bpe*_compact")
    results = (experiment / "RESULTS.md").read_text()
    for score in ("WER", "CER", "TER"):
        assert f"### {score}" in results
    table = (directory / "exp/RESULTS_compare.md").read_text()
    assert "| adaptive dropout, pruned | " in table and table in output
    assert "says nothing about WER on LibriSpeech" in table


def test_progress_of_the_training_is_shown(finished):
    epochs = [line for line in finished[1].splitlines() if "  epoch " in line]
    assert len(epochs) == 4
    assert all(", share removed 0." in line and "valid loss" in line for line in epochs)
    assert "Estimated time to finish" in finished[1]


def test_pruned_model_has_the_size_asked_for(finished):
    experiment = the_one(finished[0], "exp/asr_train_*_compact")
    config = yaml.safe_load((experiment / "config.yaml").read_text())
    assert config["encoder"] == "espnet_adaptive_dropout.compact_conformer"
    report = json.loads((experiment / "report.json").read_text())
    assert report["reduction"] == pytest.approx(0.54, abs=0.01)


def test_packed_model_has_card_and_plan(finished):
    packed = the_one(finished[0], "exp/*_compact/*.zip")
    experiment = packed.parent.relative_to(finished[0])
    with zipfile.ZipFile(packed) as archive:
        names = set(archive.namelist())
        card = archive.read(f"{experiment}/README.md").decode()
    files = ("config.yaml", "RESULTS.md", "plan.yaml", "certificate.json", "report.md")
    assert {f"{experiment}/{name}" for name in files} <= names
    assert "pip install espnet-adaptive-dropout" in card
    assert "## Pruning report" in card and "### WER" in card


def test_decoding_again_does_not_prune_again(finished, run):
    plan = the_one(finished[0], "exp/*_compact/plan.yaml")
    before = plan.stat().st_mtime_ns
    done = run("--stage", "13", "--stop_stage", "13")
    assert done.returncode == 0, done.stderr
    assert "is there and newer than" in done.stdout
    assert plan.stat().st_mtime_ns == before
