"""Recorded speech through every stage: the AN4 utterances in ESPnet's wheel.

Characters instead of pieces, and speed perturbation, which the other recipe test
does not use.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from support.paths import RECIPE

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A recipe directory after all stages on AN4, and its output."""
    top = tmp_path_factory.mktemp("an4")
    laid_out = subprocess.run(
        [sys.executable, RECIPE / "local/an4_to_librispeech.py", "--output", top],
        capture_output=True,
        text=True,
    )
    if "202611" not in laid_out.stderr and laid_out.returncode:
        pytest.fail(laid_out.stderr)
    if laid_out.returncode:
        pytest.skip(laid_out.stderr.strip())
    directory = top / "asr1"
    directory.mkdir()
    for name in ("run.sh", "path.sh", "cmd.sh", "local", "conf"):
        (directory / name).symlink_to(RECIPE / name)
    env = {**os.environ, "ADAPRUNE_VENV": sys.prefix}
    env.pop("ADAPRUNE_READY", None)
    options = ["--corpus", "smoke", "--corpus_dir", str(top), "--ngpu", "0"]
    options += ["--token_type", "char", "--speed_perturb_factors", "0.9 1.0 1.1"]
    done = subprocess.run(
        ["./run.sh", *options], cwd=directory, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return directory, done.stdout


def test_every_stage_ran(finished):
    directory, output = finished
    for number in range(1, 15):
        skipped = number in (6, 7, 8, 9)  # language models
        assert f"Stage {number}{': skipped' if skipped else ' took'}" in output
    assert len((directory / "data/train/wav.scp").read_text().splitlines()) == 4
    perturbed = directory / "dump/raw/train_sp/wav.scp"
    assert len(perturbed.read_text().splitlines()) == 12


def test_pruned_decoded_scored_and_packed(finished):
    directory, _ = finished
    (compact,) = directory.glob("exp/asr_train_*_char_sp_compact")
    report = json.loads((compact / "report.json").read_text())
    assert report["reduction"] == pytest.approx(0.54, abs=0.01)
    assert report["certificate"]["holds"]
    assert "### WER" in (compact / "RESULTS.md").read_text()
    assert list(compact.glob("*.zip"))
