"""``adaprune compress`` with its short training, for every task and kind of model."""

import importlib
import json
import shutil

import numpy as np
import pytest
import torch
import yaml
from support.packed_models import MODEL
from support.packed_tasks import write_packed
from support.tiny_task_configs import TASKS
from support.tiny_tasks import provide_transducer_loss, write_data

from espnet_adaptive_dropout.bin import compress
from espnet_adaptive_dropout.compress.tasks import CLASSES
from espnet_adaptive_dropout.experiments.experiment import load_checkpoint

QUICK = "--use_matplotlib false --use_tensorboard false --num_workers 0"
DECODING = {"s2t": "{beam_size: 1, maxlenratio: -4, lang_sym: <eng>, task_sym: <asr>}"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Data for all tasks; some have no transcript of the source language."""
    root = write_data(tmp_path_factory.mktemp("tasks") / "data", rounds=4)
    lines = (root / "src_text").read_text().splitlines(keepends=True)
    (root / "src_text").write_text("".join(lines[::2]))
    return root


@pytest.mark.parametrize(
    "name", ["asr_hybrid", "asr_ctc", "asr_transducer", "st", "slu", "s2t"]
)
def test_short_training(name, data, tmp_path, monkeypatch):
    """Cut, repaired and trained; the zip alone recognises."""
    tiny = TASKS[name]
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    if name == "asr_transducer":
        provide_transducer_loss(monkeypatch)
    packed = write_packed(name, data, tmp_path / "recipe")
    decoding = tmp_path / "decode.yaml"
    decoding.write_text(DECODING.get(tiny.task, "{beam_size: 1, maxlenratio: -4}"))
    compress.main(
        [
            *(str(packed), "--data", str(data), "--output_dir", "small"),
            *("--target_reduction", "0.3", "--epochs", "1", "--keep_work", "true"),
            *("--inference_config", str(decoding), "--train_args", QUICK),
        ]
    )
    report = json.loads((tmp_path / "small/compress.json").read_text())
    assert report["task"] == tiny.task and report["training"]["steps"] == 10
    assert report["certificate"]["holds"]
    assert report["reduction"] == pytest.approx(0.3, abs=0.05)
    training = yaml.safe_load((tmp_path / "small.work/train.yaml").read_text())
    assert "teacher" in training["encoder_conf"]
    before = load_checkpoint(tmp_path / "small.work/cut" / MODEL)
    after = load_checkpoint(tmp_path / "small" / MODEL)
    assert any(not torch.equal(before[key], after[key]) for key in before)
    for directory in ("recipe", "small.work"):
        shutil.rmtree(directory)
    shutil.move("small/small.zip", "small.zip")
    shutil.rmtree("small")
    module, kind, _ = CLASSES[tiny.task]
    inference = getattr(importlib.import_module(f"espnet2.bin.{module}"), kind)
    options = yaml.safe_load(decoding.read_text())
    recognise = inference.from_pretrained(str(tmp_path / "small.zip"), **options)
    results = recognise(np.random.default_rng(0).normal(0, 0.1, 16000))
    assert results[0][1], "no tokens"
