"""A Python that has imported ESPnet and forks itself for every command.

Importing ESPnet takes 7 to 20 seconds of processor time, a fork almost none. Tests for
which the start itself matters use a new Python instead.
"""

from __future__ import annotations

import atexit
import dataclasses
import importlib
import json
import multiprocessing.process
import os
import runpy
import signal
import subprocess
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

IMPORTED = (
    "espnet2.bin.asr_train",
    "espnet2.bin.asr_inference",
    "espnet_adaptive_dropout.bin.prune",
)
LIMIT = 600  # seconds for a command


@dataclasses.dataclass
class Command:
    """What would follow ``python`` on a command line.

    Args:
        arguments: as Python takes them: a script, or -m and a module, or -c and code.
        cwd: where it runs.
        log: file to which its output is appended.
        env: goes over the environment of the tests.
    """

    arguments: Sequence[Any]
    cwd: Path
    log: Path
    env: dict[str, str] = dataclasses.field(default_factory=dict)


class ForkingPython:
    """Runs commands; several at a time where they are given together."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, str(Path(__file__)), *IMPORTED],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            text=True,
        )

    def __call__(self, *commands: Command) -> list[int]:
        """Run the commands side by side and return their exit statuses."""
        request = [
            dict(
                arguments=[str(word) for word in command.arguments],
                cwd=str(command.cwd),
                log=str(command.log),
                env=command.env,
            )
            for command in commands
        ]
        print(json.dumps(request), file=self._server.stdin, flush=True)
        return json.loads(self._server.stdout.readline())

    def stop(self) -> None:
        """End the process that forks."""
        self._server.communicate()


def _serve() -> None:
    """Read commands from stdin and write their statuses to stdout."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what modules print when they are imported
    sys.path.remove(str(Path(__file__).parent))
    for name in sys.argv[1:]:
        importlib.import_module(name)
    for line in iter(sys.stdin.readline, ""):
        children = [_fork(**command) for command in json.loads(line)]
        statuses = [os.waitpid(child, 0)[1] for child in children]
        print(
            json.dumps([os.waitstatus_to_exitcode(status) for status in statuses]),
            file=answers,
            flush=True,
        )


def _fork(arguments: list[str], cwd: str, log: str, env: dict[str, str]) -> int:
    child = os.fork()
    if child:
        return child
    signal.alarm(LIMIT)
    status = 1
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.chdir(cwd)
        multiprocessing.process.ORIGINAL_DIR = cwd  # of scripts with a relative path
        os.environ.update(env)
        status = _run(arguments)
    except BaseException:
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _run(arguments: list[str]) -> int:
    """Do what ``python`` does with these arguments; return the exit status."""
    kind, *rest = arguments
    try:
        if kind == "-m":
            sys.argv = rest
            sys.path.insert(0, os.getcwd())
            runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
        elif kind == "-c":
            sys.argv = ["-c", *rest[1:]]
            sys.path.insert(0, os.getcwd())
            exec(compile(rest[0], "<string>", "exec"), {"__name__": "__main__"})
        else:
            sys.argv = arguments
            sys.path.insert(0, str(Path(kind).absolute().parent))
            runpy.run_path(kind, run_name="__main__")
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1
        return int(end.code or 0)
    return 0


if __name__ == "__main__":
    _serve()
