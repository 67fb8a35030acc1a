"""Unit tests start no process and train nothing: what does is an integration test."""

from __future__ import annotations

import contextlib
import multiprocessing.process
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    """Let the test fail that starts a Python, a shell or one of ESPnet's trainings."""
    start = subprocess.Popen.__init__

    def popen(self: Any, args: Any, *more: Any, **options: Any) -> None:
        words = args.split() if isinstance(args, str) else list(args)
        name = os.path.basename(os.fsdecode(words[0]))
        # Libraries may ask the system what it has, as Matplotlib does for its fonts.
        if options.get("shell") or name.startswith(("python", "bash", "sh", "run")):
            pytest.fail(f"a unit test starts {words}: move it to tests/integration")
        start(self, args, *more, **options)

    def refuse(*args: Any, **options: Any) -> None:
        pytest.fail("a unit test forks or trains: move it to tests/integration")

    with contextlib.ExitStack() as stack:
        patches = [
            mock.patch.object(subprocess.Popen, "__init__", popen),
            mock.patch.object(multiprocessing.process.BaseProcess, "start", refuse),
            mock.patch.object(os, "fork", refuse),
        ]
        trainer = sys.modules.get("espnet2.train.trainer")
        if trainer is not None:
            patches.append(mock.patch.object(trainer.Trainer, "run", refuse))
        for patch in patches:
            stack.enter_context(patch)
        yield


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """Guard the fixtures."""
    with _refusing():
        yield


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Guard the test."""
    with _refusing():
        yield
