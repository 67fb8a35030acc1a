import subprocess
import sys

import torch
from support.experiments import make_experiment


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", *arguments], capture_output=True, text=True
    )


def model_options(directory):
    return (
        *("--train_config", str(directory / "config.yaml")),
        *("--model_file", str(directory / "valid.pth")),
    )


def test_commands_say_their_own_lines_only(tmp_path):
    # ctc_weight 1.0 makes ESPnet log a line whenever it builds the model.
    make_experiment(tmp_path, ctc_weight=1.0)
    options = model_options(tmp_path)
    done = run("espnet_adaptive_dropout.bin.measure", *options)
    assert done.returncode == 0
    assert done.stderr == ""
    done = run("espnet_adaptive_dropout.bin.prune", *options, "--dry_run")
    assert done.returncode == 0
    assert done.stderr == ""
    assert "of the encoder's parameters would go" in done.stdout


def test_our_warnings_are_shown(tmp_path):
    model = make_experiment(tmp_path)
    model.encoder.control.frozen.zero_()
    torch.save(model.state_dict(), tmp_path / "valid.pth")
    options = model_options(tmp_path)
    done = run("espnet_adaptive_dropout.bin.prune", *options, "--dry_run")
    assert done.stderr.startswith("prune: ")
    assert "the training had not frozen its size yet" in done.stderr
