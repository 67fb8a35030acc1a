"""Running tasks: order, restart, failure."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from multiprocessing import forkserver
from pathlib import Path

import pytest
from support.paths import ROOT

from benchmarks.compare.commands import Step, Task
from benchmarks.compare.jobs import ForkedCommands, Pool, epoch_of, last_line


class Recorder:
    """Executes nothing; fails where told."""

    def __init__(self, *failing: str):
        self.failing = failing
        self.ran = []
        self.lock = threading.Lock()

    def __call__(self, step: Step, cwd: Path, log: Path) -> int:
        with self.lock:
            self.ran.append(step.args[0])
        log.write_text("something\nit broke\n\n")
        return int(step.args[0] in self.failing)


def task(root: Path, name: str, *needs: str, steps: int = 1) -> Task:
    commands = [Step(f"s{i}", "a.module", (f"{name}.{i}",)) for i in range(steps)]
    return Task(name, root / name, list(needs), commands, cost=10)


def test_tasks_wait_for_what_they_need(tmp_path):
    execute = Recorder()
    tasks = [task(tmp_path, "late", "early"), task(tmp_path, "early", steps=2)]
    assert Pool(tasks, 2, tmp_path, execute).run() == {}
    assert execute.ran == ["early.0", "early.1", "late.0"]


def test_what_is_done_is_not_run_again(tmp_path):
    tasks = [task(tmp_path, "a", steps=2), task(tmp_path, "b", "a")]
    failing = Recorder("a.1")
    failed = Pool(tasks, 1, tmp_path, failing).run()
    assert set(failed) == {"a", "b"}
    execute = Recorder()
    assert Pool(tasks, 1, tmp_path, execute).run() == {}
    assert execute.ran == ["a.1", "b.0"]
    execute = Recorder()
    assert Pool(tasks, 1, tmp_path, execute).run() == {}
    assert execute.ran == []


def test_a_failure_is_reported_with_its_log_and_the_others_go_on(tmp_path, capsys):
    tasks = [task(tmp_path, "bad"), task(tmp_path, "good"), task(tmp_path, "x", "bad")]
    failed = Pool(tasks, 1, tmp_path, Recorder("bad.0")).run()
    log = tmp_path / "bad/logs/s0.log"
    assert failed["bad"] == f"s0 ended with 1: it broke ({log})"
    assert failed["x"] == "needs bad, which failed"
    printed = capsys.readouterr().out
    assert "good: done" in printed
    assert "FAILED" in printed


def test_a_copy_is_a_step(tmp_path):
    source, target = tmp_path / "from", tmp_path / "to"
    source.write_text("weights")
    copy = Task("c", tmp_path / "c", [], [Step("k", "", (str(source), str(target)))], 1)
    assert Pool([copy], 1, tmp_path, Recorder()).run() == {}
    assert target.read_text() == "weights"


def test_commands_run_in_a_fork_with_their_output_in_the_log(tmp_path):
    execute = ForkedCommands()
    execute._context.set_forkserver_preload([])
    bad = Step("x", "espnet_adaptive_dropout.no_such", ())
    assert execute(bad, tmp_path, tmp_path / "log") == 1
    assert "no module named" in last_line(tmp_path / "log")


def test_a_command_that_ends_while_another_starts_keeps_its_status(
    tmp_path, monkeypatch
):
    (tmp_path / "quick.py").write_text("def main():\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    execute = ForkedCommands()
    execute._context.set_forkserver_preload([])
    statuses = {}

    def work(name):
        statuses[name] = execute(Step("x", "quick", ()), tmp_path, tmp_path / name)

    read = forkserver.read_signed
    reads = []

    def read_while_the_second_starts(descriptor):
        reads.append(descriptor)
        if len(reads) == 2:  # the first was the process's id, this is its status
            second.start()
            second.join(timeout=0.3)
        return read(descriptor)

    monkeypatch.setattr(forkserver, "read_signed", read_while_the_second_starts)
    second = threading.Thread(target=work, args=("second",))
    work("first")
    second.join()
    assert statuses == {"first": 0, "second": 0}


def test_commands_do_not_outlive_the_comparison(tmp_path):
    (tmp_path / "sleeper.py").write_text(
        "import os, time\n\n\ndef main():\n"
        "    with open('pid', 'w') as file:\n        file.write(str(os.getpid()))\n"
        "    time.sleep(60)\n"
    )
    parent = (
        "from benchmarks.compare.jobs import ForkedCommands\n"
        "from benchmarks.compare.commands import Step\n"
        "from pathlib import Path\n"
        "if __name__ == '__main__':\n"
        "    execute = ForkedCommands()\n"
        "    execute._context.set_forkserver_preload([])\n"
        "    execute(Step('x', 'sleeper', ()), Path('.'), Path('log'))\n"
    )
    (tmp_path / "parent.py").write_text(parent)
    root = str(ROOT)
    env = dict(os.environ, PYTHONPATH=os.pathsep.join([root, str(tmp_path)]))
    process = subprocess.Popen([sys.executable, "parent.py"], cwd=tmp_path, env=env)
    pid = wait_for(
        lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text()
    )
    process.kill()
    process.wait()
    wait_for(lambda: not Path(f"/proc/{pid}").exists())


def wait_for(condition, seconds: float = 60.0):
    """What ``condition`` gives once it is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        result = condition()
        if result:
            return result
        time.sleep(0.1)
    raise AssertionError("waited in vain")


@pytest.mark.parametrize("text, shown", [("", ""), ("3/20epoch started. Est", "3/20")])
def test_progress_is_read_from_the_log(tmp_path, text, shown):
    log = tmp_path / "log"
    assert epoch_of(log) == ""
    log.write_text(f"INFO: 2/20epoch started\n{text}\n" if text else "")
    assert epoch_of(log) == shown
