"""With the switch on, espnet.load and ``espnet transcribe`` open a pruned model."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.experiments import model_options
from support.paths import ROOT
from support.tiny_task import S2T
from support.tiny_task_configs import TASKS
from support.tiny_tasks import training_arguments, write_data

import espnet_adaptive_dropout  # noqa: F401  (registers the classes)
from espnet_adaptive_dropout.bin import enable, prune
from espnet_adaptive_dropout.experiments.experiment import load_task

pytest.importorskip("espnet2.bin.cli", reason="this ESPnet has no command line")

MODEL = "valid.final_loss.best.pth"
# The first lines do what Python does at its start with the directories it knows.
OPEN = """
import site, sys
root, speech, packed = sys.argv[1:]
sys.path.append(root)
site.addsitedir("site-packages")
assert "torch" not in sys.modules

import espnet
from espnet2.bin.asr_train import get_parser
from espnet2.bin.cli import main

names = ["--encoder", "adaptive_dropout_conformer", "--model", "adaptive_dropout"]
print(get_parser().parse_args(names).encoder)

model = espnet.load(packed, task="s2t", device="cpu")
print(type(model.s2t_model.encoder).__name__)
options = ["--model", packed, "--device", "cpu", "--language", "eng"]
sys.exit(main(["transcribe", speech, *options]))
"""


@pytest.fixture
def packed(tmp_path, monkeypatch):
    """A tiny model, trained, pruned and packed; of the kind that transcribe takes."""
    from espnet2.bin import pack

    tiny = TASKS["s2t_ctc"]
    # Room for the context of 4 s on both sides that the command line gives
    lengths = dict(S2T["preprocessor_conf"], speech_length=10.24)
    monkeypatch.setitem(tiny.config, "preprocessor_conf", lengths)
    monkeypatch.chdir(tmp_path)
    data = write_data(tmp_path / "data")
    load_task(tiny.task).main(cmd=training_arguments(tiny, data, tmp_path / "exp"))
    arguments = ["--task", tiny.task, *model_options(Path("exp"), MODEL)]
    prune.main([*arguments, "--output_dir", "compact"])
    pack.main(
        [
            *("s2t", "--s2t_train_config", "compact/config.yaml"),
            *("--s2t_model_file", f"compact/{MODEL}", "--outpath", "packed.zip"),
        ]
    )
    return tmp_path / "packed.zip"


def test_plain_espnet_opens_a_pruned_model(packed, tmp_path):
    (tmp_path / "site-packages").mkdir()
    enable.main(["--site_packages", "site-packages"])
    dropped = ("PYTHONPATH", "HF_", "ESPNET")
    env = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
    done = subprocess.run(
        [sys.executable, "-c", OPEN, str(ROOT), "data/utt0.wav", str(packed)],
        env={**env, "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    known, encoder, text = done.stdout.splitlines()
    assert known == "adaptive_dropout_conformer"
    assert encoder == "CompactConformerEncoder"
    assert set(text.split()) <= {"a", "b", "c", "<space>"}
