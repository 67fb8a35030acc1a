"""Runs tasks several at a time and shows how far they are.

Every command is a process of its own, forked from one that has imported ESPnet:
importing takes some ten seconds, a good part of a short training.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import re
import runpy
import shutil
import sys
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Callable

from benchmarks.compare.commands import Step, Task
from benchmarks.files import write_json
from espnet_adaptive_dropout.experiments.files import replacing

PRELOADED = [
    "espnet_adaptive_dropout",
    "espnet2.bin.asr_train",
    "benchmarks.models.steps",
]
HEARTBEAT_SECONDS = 60.0

Execute = Callable[[Step, Path, Path], int]


class ForkedCommands:
    """Executes steps in forks of a process that has ESPnet imported."""

    def __init__(self) -> None:
        # The fork server inherits the environment: one thread a process.
        os.environ["OMP_NUM_THREADS"] = "1"
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(PRELOADED)
        self._running: list[multiprocessing.Process] = []
        # Starting a process polls all others too; without the lock two threads may
        # read the status of one that has just ended, and one of them gets 255.
        self._lock = threading.Lock()

    def __call__(self, step: Step, cwd: Path, log: Path) -> int:
        """Run a command in ``cwd`` with its output in ``log``; return its status."""
        argv = ["-m", step.module, *step.args]
        process = self._context.Process(target=_child, args=(argv, cwd, log))
        with self._lock:
            process.start()
            self._running.append(process)
        multiprocessing.connection.wait([process.sentinel])
        with self._lock:
            process.join()
            self._running.remove(process)
            return process.exitcode or 0

    def stop(self) -> None:
        """Terminate all running commands."""
        for process in list(self._running):
            process.terminate()


def _child(argv: list[str], cwd: Path, log: Path) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.chdir(cwd)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # The fork server must not start the workers of data loaders.
    multiprocessing.set_start_method("fork", force=True)
    sys.argv = ["espnet_adaptive_dropout", *argv]
    runpy.run_module("espnet_adaptive_dropout", run_name="__main__", alter_sys=False)


def _end_with_parent() -> None:
    """End this process when the comparison that waits for it has ended."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


class Pool:
    """Runs tasks in order, each as soon as the tasks that it needs are done.

    Args:
        tasks: the most important first.
        jobs: how many at a time.
        cwd: directory in which commands run.
        execute: runs a command.
    """

    def __init__(self, tasks: list[Task], jobs: int, cwd: Path, execute: Execute):
        self.tasks = tasks
        self.jobs = jobs
        self.cwd = cwd
        self.execute = execute
        self.finished = {task.name for task in tasks if task.done}
        self.failed: dict[str, str] = {}
        self._waiting = [task for task in tasks if not task.done]
        self._running: dict[Future, Task] = {}
        self._logs: dict[str, Path] = {}
        self._cost = sum(task.cost for task in self._waiting)
        self._cost_done = 0
        self._start = time.monotonic()
        self._stopped = False

    def run(self) -> dict[str, str]:
        """Run all; return the failures: task name -> reason."""
        left = len(self._waiting)
        print(f"{left} tasks to run, {len(self.tasks) - left} done before", flush=True)
        with ThreadPoolExecutor(self.jobs) as executor:
            try:
                self._start_ready(executor)
                while self._running:
                    done, _ = wait(
                        self._running, HEARTBEAT_SECONDS, return_when=FIRST_COMPLETED
                    )
                    for future in done:
                        self._end(self._running.pop(future), future.result())
                    if not done:
                        self._heartbeat()
                    self._start_ready(executor)
            except KeyboardInterrupt:
                self._stopped = True
                getattr(self.execute, "stop", lambda: None)()
                raise
        return self.failed

    def _start_ready(self, executor: ThreadPoolExecutor) -> None:
        """Start tasks while there is room; leave out those that cannot run any more."""
        for task in list(self._waiting):
            bad = [name for name in task.needs if name in self.failed]
            if bad:
                self._waiting.remove(task)
                self._cost_done += task.cost
                self.failed[task.name] = f"needs {bad[0]}, which failed"
                print(f"left out {task.name}: needs {bad[0]}", flush=True)
                return self._start_ready(executor)  # others may need this one
            if len(self._running) < self.jobs and self.finished >= set(task.needs):
                self._waiting.remove(task)
                self._running[executor.submit(self._run, task)] = task

    def _run(self, task: Task) -> str:
        """Run the steps that are not done; return why it failed, or nothing."""
        for step in task.steps:
            mark = task.mark(step)
            if mark.exists():
                continue
            if self._stopped:
                return "interrupted"
            log = task.directory / "logs" / f"{step.name}.log"
            begin = time.monotonic()
            try:
                log.parent.mkdir(parents=True, exist_ok=True)
                self._logs[task.name] = log
                status = self._execute(step, log)
                if status:
                    return f"{step.name} ended with {status}: {last_line(log)} ({log})"
                write_json(mark, dict(seconds=round(time.monotonic() - begin, 2)))
            except OSError as error:
                return str(error)
        return ""

    def _execute(self, step: Step, log: Path) -> int:
        if step.module:
            return self.execute(step, self.cwd, log)
        source, target = step.args
        with replacing(target) as partial:
            shutil.copyfile(source, partial)
        return 0

    def _end(self, task: Task, reason: str) -> None:
        self._cost_done += task.cost
        if reason:
            self.failed[task.name] = reason
        else:
            self.finished.add(task.name)
        total = len(self.tasks)
        done = total - len(self._waiting) - len(self._running)
        state = f"FAILED: {reason}" if reason else "done"
        elapsed = time.monotonic() - self._start
        left = elapsed / max(self._cost_done, 1) * (self._cost - self._cost_done)
        print(f"[{done}/{total}] {task.name}: {state}; about {left / 60:.0f} min left")
        sys.stdout.flush()

    def _heartbeat(self) -> None:
        names = []
        for task in self._running.values():
            log = self._logs.get(task.name)
            epoch = epoch_of(log) if log else ""
            names.append(f"{task.name} ({epoch})" if epoch else task.name)
        print(f"    running: {', '.join(names)}", flush=True)


def epoch_of(log: Path) -> str:
    """Progress that ESPnet's log shows of a training, "7/20"; empty without any."""
    try:
        with open(log, "rb") as file:
            file.seek(max(log.stat().st_size - 20000, 0))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    found = re.findall(r"(\d+/\d+)epoch started", text)
    return found[-1] if found else ""


def last_line(log: Path) -> str:
    """The last line of a log that has any text."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
