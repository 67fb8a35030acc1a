"""ESPnet2's Lightning trainer in two processes."""

import os
import subprocess
import sys

import pytest
import torch
from support.tiny_training import (
    CUT,
    EARLY_FREEZE,
    LIGHTNING,
    command,
    encoder_conf,
)
from support.tiny_training import build_model as build_untrained

from espnet_adaptive_dropout.experiments.experiment import (
    build_model,
    load_config,
    load_state,
    load_task,
    load_weights,
)


def test_two_processes(data, tmp_path):
    """Lightning starts the second by the name that the runner has left for it."""
    pytest.importorskip("lightning", reason="the trainer is Lightning's")
    output = tmp_path / "exp"
    output.mkdir()
    torch.save(build_untrained(data).state_dict(), tmp_path / "first.pth")
    arguments = command(
        *(data, output),
        init_param=[str(tmp_path / "first.pth")],
        batch_size=3,
        encoder_conf=encoder_conf(**EARLY_FREEZE),
        use_tensorboard=True,
        scheduler="warmuplr",
        scheduler_conf=dict(warmup_steps=3),
        lightning_conf=dict(LIGHTNING, devices=2, num_sanity_val_steps=0),
    )
    process = subprocess.run(
        [sys.executable, "-m", "espnet_adaptive_dropout", "-m"]
        + ["espnet2.bin.lightning_train", "--task", "asr", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.returncode == 0, process.stderr[-3000:]
    assert CUT in process.stderr
    assert "Loading pretrained params from" in process.stderr
    # What ESPnet's own tools read.
    config = load_config(output / "config.yaml")
    model = build_model(load_task("asr"), config)
    state = load_state(output / "valid.final_loss.ave_1best.pth")
    load_weights(model, state, "the average")
    control = model.encoder.control
    assert control.step == control.config.total_steps == 3 * 3
    assert control.frozen == 1
