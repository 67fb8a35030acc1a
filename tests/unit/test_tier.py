"""What a unit test may not do; conftest.py sees to it."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys

import pytest
from espnet2.train.trainer import Trainer


@pytest.mark.parametrize(
    "start",
    [
        lambda: subprocess.run([sys.executable, "-c", ""]),
        lambda: subprocess.run("exit 0", shell=True),
        lambda: multiprocessing.Process(target=print).start(),
        lambda: os.fork(),
    ],
)
def test_processes_are_refused(start):
    with pytest.raises(pytest.fail.Exception, match="move it to tests/integration"):
        start()


def test_trainings_are_refused():
    with pytest.raises(pytest.fail.Exception, match="move it to tests/integration"):
        Trainer.run(None)
