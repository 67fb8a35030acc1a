"""The whole recipe on the smallest corpus, from its synthesis to the packed model."""

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
from common import read_table
from support.describe_asr_sh import files_of
from support.paths import RECIPE

pytestmark = pytest.mark.slow

DECODE = """
import sys
import espnet_adaptive_dropout
import soundfile
from espnet2.bin.asr_inference import Speech2Text

recognise = Speech2Text.from_pretrained(
    sys.argv[1], beam_size=5, ctc_weight=1.0, lm_weight=0.0, penalty=0.0
)
for path in sys.argv[2:]:
    print("hypothesis:" + recognise(soundfile.read(path)[0])[0][0])
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A recipe directory after ./run.sh --corpus smoke; its output and seconds."""
    directory = tmp_path_factory.mktemp("smoke") / "asr1"
    directory.mkdir()
    for name in ("run.sh", "path.sh", "cmd.sh", "local", "conf"):
        (directory / name).symlink_to(RECIPE / name)
    env = {**os.environ, "ADAPRUNE_VENV": sys.prefix}
    env.pop("ADAPRUNE_READY", None)
    started = time.time()
    done = subprocess.run(
        ["./run.sh", "--corpus", "smoke", "--ngpu", "0"],
        cwd=directory,
        env=env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    print(f"\nsmoke run: {time.time() - started:.0f} s")
    print("\n".join(line for line in done.stdout.splitlines() if " took " in line))
    return directory, done.stdout, env


def the_one(directory: Path, pattern: str) -> Path:
    found = sorted(directory.glob(pattern))
    assert len(found) == 1, f"{pattern}: {found}"
    return found[0]


def test_stages_ran_in_espnets_layout(finished):
    directory, output, _ = finished
    for number in range(1, 15):
        skipped = number in (6, 7, 8, 9)  # language models
        assert f"Stage {number}{': skipped' if skipped else ' took'}" in output
    for path in (
        "data/train/wav.scp",
        "dump/raw/org/train/wav.scp",
        "dump/raw/train/text",
        "dump/raw/test_clean/utt2num_samples",
    ):
        assert (directory / path).exists(), path
    the_one(directory, "data/en_token_list/bpe_unigram*/bpe.model")
    the_one(directory, "exp/asr_stats_raw_en_bpe*/train/feats_stats.npz")
    experiment = the_one(directory, "exp/asr_train_*_smoke_raw_en_bpe*_compact")
    results = (experiment / "RESULTS.md").read_text()
    for score in ("WER", "CER", "TER", "RTF"):
        assert f"### {score}" in results


def test_files_are_those_of_espnets_asr_sh(finished):
    recorded = json.loads((Path(__file__).parent / "asr_sh_interface.json").read_text())
    missing = set(recorded["files"]) - set(files_of(finished[0]))
    assert recorded["files"] and not missing


def test_pruned_model_has_the_size_asked_for(finished):
    directory, output, _ = finished
    experiment = the_one(directory, "exp/asr_train_*_compact")
    config = yaml.safe_load((experiment / "config.yaml").read_text())
    assert config["encoder"] == "espnet_adaptive_dropout.compact_conformer"
    report = json.loads((experiment / "report.json").read_text())
    assert report["reduction"] == pytest.approx(0.54, abs=0.01)
    assert "says nothing about WER on LibriSpeech" in output


def test_packed_model_decodes_to_the_same_text(finished, tmp_path):
    directory, _, env = finished
    packed = the_one(directory, "exp/*_compact/*.zip")
    with zipfile.ZipFile(packed) as archive:
        names = [Path(name).name for name in archive.namelist()]
    assert {"config.yaml", "README.md", "RESULTS.md", "plan.yaml"} <= set(names)
    decoded = the_one(directory, "exp/*_compact/decode_*/test_clean/text")
    expected = list(read_table(decoded).items())[:5]
    audio = read_table(directory / "dump/raw/test_clean/wav.scp")
    paths = [str(directory / audio[name]) for name, _ in expected]
    # elsewhere, and with a home of its own for what is unpacked
    done = subprocess.run(
        [sys.executable, "-c", DECODE, str(packed), *paths],
        cwd=tmp_path,
        env={**env, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    said = [
        line.split(":", 1)[1].strip()
        for line in done.stdout.splitlines()
        if line.startswith("hypothesis:")
    ]
    assert said == [text for _, text in expected]


def test_pruning_again_is_done_only_when_needed(finished):
    directory, _, env = finished
    experiment = the_one(directory, "exp/*_compact")
    command = ["local/prune.sh", "--asr_exp", str(experiment)[: -len("_compact")]]
    command += ["--model_file", "valid.final_loss.ave.pth", "--force", "false"]
    done = subprocess.run(
        command, cwd=directory, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "is there and newer than" in done.stdout
