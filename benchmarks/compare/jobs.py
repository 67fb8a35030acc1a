"""Runs tasks several at a time and says how far they are.

Every command is a process of its own, but forked from one that has imported ESPnet:
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
from pathlib import Path
from typing import Callable, Dict, List, Optional

from benchmarks.compare.commands import Step, Task
from benchmarks.files import write_json

PRELOADED = [
    "espnet_adaptive_dropout",
    "espnet2.bin.asr_train",
    "benchmarks.models.score",
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
        self._running: List[multiprocessing.Process] = []
        # Starting a process looks after all others too, and two threads that read
        # the status of one that has just ended do not both get it (the other: 255).
        self._one_at_a_time = threading.Lock()

    def __call__(self, step: Step, cwd: Path, log: Path) -> int:
        """Run a command in ``cwd`` with its output in ``log``; return its status."""
        argv = ["-m", step.module, *step.args]
        process = self._context.Process(target=_child, args=(argv, cwd, log))
        with self._one_at_a_time:
            process.start()
            self._running.append(process)
        multiprocessing.connection.wait([process.sentinel])
        with self._one_at_a_time:
            process.join()
            self._running.remove(process)
            return process.exitcode or 0

    def stop(self) -> None:
        """Terminate what runs."""
        for process in list(self._running):
            process.terminate()


def _child(argv: List[str], cwd: Path, log: Path) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.chdir(cwd)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # Data loaders' workers must not be started anew by the fork server.
    multiprocessing.set_start_method("fork", force=True)
    sys.argv = ["espnet_adaptive_dropout", *argv]
    runpy.run_module("espnet_adaptive_dropout", run_name="__main__", alter_sys=False)


def _end_with_parent() -> None:
    """Do not go on training when nobody waits for it any more."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


class Pool:
    """Runs tasks in order as soon as what they need is done.

    Args:
        tasks: the most important first.
        jobs: how many at a time.
        cwd: directory in which commands run.
        execute: runs a command.
    """

    def __init__(self, tasks: List[Task], jobs: int, cwd: Path, execute: Execute):
        self.tasks = tasks
        self.jobs = jobs
        self.cwd = cwd
        self.execute = execute
        self.finished = {task.name for task in tasks if task.done}
        self.failed: Dict[str, str] = {}
        self.running: Dict[str, Optional[Path]] = {}
        self._waiting = [task for task in tasks if not task.done]
        self._cost = sum(task.cost for task in self._waiting)
        self._cost_done = 0
        self._start = time.monotonic()
        self._changed = threading.Condition()
        self._stopped = False

    def run(self) -> Dict[str, str]:
        """Run all; return what failed: task name -> reason."""
        left = len(self._waiting)
        skipped = len(self.tasks) - left
        print(f"{left} tasks to run, {skipped} done before", flush=True)
        threads = [
            threading.Thread(target=self._work, daemon=True) for _ in range(self.jobs)
        ]
        for thread in threads:
            thread.start()
        try:
            while any(thread.is_alive() for thread in threads):
                for thread in threads:
                    thread.join(HEARTBEAT_SECONDS / self.jobs)
                self._heartbeat()
        except KeyboardInterrupt:
            self._stopped = True
            getattr(self.execute, "stop", lambda: None)()
            raise
        return self.failed

    def _work(self) -> None:
        while True:
            task = self._next()
            if task is None:
                return
            begin = time.monotonic()
            try:
                reason = self._run(task)
            except OSError as error:
                reason = str(error)
            with self._changed:
                del self.running[task.name]
                self._cost_done += task.cost
                if reason:
                    self.failed[task.name] = reason
                else:
                    self.finished.add(task.name)
                self._report(task, time.monotonic() - begin, reason)
                self._changed.notify_all()

    def _next(self) -> Optional[Task]:
        with self._changed:
            while self._waiting and not self._stopped:
                for task in list(self._waiting):
                    bad = [name for name in task.needs if name in self.failed]
                    if bad:
                        self._waiting.remove(task)
                        self._cost_done += task.cost
                        self.failed[task.name] = f"needs {bad[0]}, which failed"
                        print(f"left out {task.name}: needs {bad[0]}", flush=True)
                    elif all(name in self.finished for name in task.needs):
                        self._waiting.remove(task)
                        self.running[task.name] = None
                        return task
                if self._waiting:
                    self._changed.wait()
            return None

    def _run(self, task: Task) -> str:
        """Run the steps that are not done; return why it failed, or nothing."""
        for step in task.steps:
            mark = task.mark(step)
            if mark.exists():
                continue
            log = task.directory / "logs" / f"{step.name}.log"
            log.parent.mkdir(parents=True, exist_ok=True)
            self.running[task.name] = log
            begin = time.monotonic()
            status = self._execute(step, log)
            if status:
                return f"{step.name} ended with {status}: {last_line(log)} ({log})"
            write_json(mark, dict(seconds=round(time.monotonic() - begin, 2)))
        return ""

    def _execute(self, step: Step, log: Path) -> int:
        if step.module:
            return self.execute(step, self.cwd, log)
        source, target = step.args
        shutil.copyfile(source, target + ".partial")
        os.replace(target + ".partial", target)
        return 0

    def _report(self, task: Task, seconds: float, reason: str) -> None:
        total = len(self.tasks)
        done = total - len(self._waiting) - len(self.running)
        state = f"FAILED: {reason}" if reason else f"{seconds:.0f} s"
        print(f"[{done}/{total}] {task.name}: {state}; {self._left()}", flush=True)

    def _left(self) -> str:
        if not self._cost_done:
            return "no estimate yet"
        elapsed = time.monotonic() - self._start
        left = elapsed / self._cost_done * (self._cost - self._cost_done)
        return f"about {left / 60:.0f} min left"

    def _heartbeat(self) -> None:
        names = [
            name + (f" ({epoch_of(log)})" if log and epoch_of(log) else "")
            for name, log in list(self.running.items())
        ]
        if names:
            print(f"    running: {', '.join(names)}", flush=True)


def epoch_of(log: Path) -> str:
    """How far ESPnet's log says that a training is, "7/20"; empty if it does not."""
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
