"""The training command is killed, or the command that has started it."""

import os
import signal
import sys
import time

import pytest

from espnet_adaptive_dropout.compress.length import Length
from espnet_adaptive_dropout.compress.train_command import train


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run ``train`` with a shell script in the place of ESPnet's training."""

    def run(script):
        program = tmp_path / "python"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(program))
        length = Length(batches=1, passes=1.0, accum_grad=1)
        train("asr", tmp_path / "train.yaml", tmp_path / "exp", length, [], print)

    return run


def test_a_training_that_was_killed(run):
    with pytest.raises(ValueError, match=r"^the training was killed \(signal 9\); the"):
        run("kill -9 $$")


def test_a_training_that_failed(run):
    with pytest.raises(ValueError, match="^the training failed: no memory; see .*/tra"):
        run("echo no memory; exit 1")


def test_no_second_training_beside_one_that_outlived_its_command(run, tmp_path):
    number = tmp_path / "number"
    command = os.fork()
    if not command:
        try:
            run(f"echo $$ > {number}.part; mv {number}.part {number}; exec sleep 60")
        finally:
            os._exit(0)
    while not number.exists():
        time.sleep(0.01)
    os.kill(command, signal.SIGKILL)
    os.waitpid(command, 0)
    try:
        with pytest.raises(ValueError, match="exp: another run is writing this dir"):
            run("exit 0")
    finally:
        os.kill(int(number.read_text()), signal.SIGKILL)
    end = time.monotonic() + 10
    while True:  # until the system has taken the lock from it
        try:
            run("exit 0")
            break
        except ValueError:
            assert time.monotonic() < end
            time.sleep(0.01)
