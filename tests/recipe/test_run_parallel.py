"""The local job runner."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from run_parallel import UsageError, parse_request
from support.paths import RECIPE

SCRIPT = RECIPE / "local" / "run_parallel.py"


def run(*words, cwd, **env):
    return subprocess.run(
        [sys.executable, str(SCRIPT), *words],
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
    )


def test_array_fills_in_the_number(tmp_path):
    done = run("JOB=1:3", "log/x.JOB.log", "echo", "part JOB of", "a|b", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for number in (1, 2, 3):
        log = (tmp_path / f"log/x.{number}.log").read_text()
        assert f"part {number} of a|b\n" in log
        assert "# Ended (code 0)" in log


def test_options_of_run_pl_are_understood():
    words = "--mem 4G --gpu 1 --max-jobs-run 2 --name exp/x/train.log JOB=2:5 l.JOB c a"
    request = parse_request(words.split())
    assert request.numbers() == [2, 3, 4, 5]
    assert request.max_jobs == 2
    assert request.job_command(3) == ["c", "a"]


def test_lone_argument_is_a_shell_line(tmp_path):
    done = run("x.log", "echo one | tr o O && echo two", cwd=tmp_path)
    assert done.returncode == 0
    assert "One\ntwo\n" in (tmp_path / "x.log").read_text()


@pytest.mark.parametrize(
    "words, message",
    [
        ([], "usage"),
        (["x.log"], "usage"),
        (["--gpu"], "needs a value"),
        (["JOB=3:2", "x.JOB.log", "true", "1"], "upwards"),
        (["JOB=1:2", "x.log", "true", "1"], "lacks JOB"),
        (["--max-jobs-run", "many", "x.log", "true", "1"], "whole number"),
    ],
)
def test_wrong_command_lines(words, message):
    with pytest.raises(UsageError, match=message):
        parse_request(words)


def test_failure_is_told_in_one_line_and_stops_the_others(tmp_path):
    started = time.time()
    done = run(
        "JOB=1:2",
        "x.JOB.log",
        "bash",
        "-c",
        "[ JOB = 2 ] && { echo no room >&2; exit 5; }; sleep 60",
        cwd=tmp_path,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "job 2 of 2 failed, log x.2.log: no room" in done.stderr
    assert time.time() - started < 30


def test_missing_program_is_one_line(tmp_path):
    done = run("x.log", "no-such-program", "arg", cwd=tmp_path)
    assert done.returncode == 1
    assert "no-such-program" in done.stderr
    assert "Traceback" not in done.stderr


def test_terminating_it_ends_its_jobs(tmp_path):
    command = [sys.executable, str(SCRIPT), "x.log", "bash", "-c", "echo $$; sleep 99"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL)
    job = None
    for _ in range(100):
        time.sleep(0.1)
        log = tmp_path / "x.log"
        lines = log.read_text().splitlines() if log.exists() else []
        numbers = [line for line in lines if line.isdigit()]
        if numbers:
            job = int(numbers[0])
            break
    assert job is not None, "the job did not start"
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) != 0
    with pytest.raises(ProcessLookupError):
        os.kill(job, 0)


def test_followed_lines_are_shown(tmp_path):
    done = run(
        "x.log",
        "bash",
        "-c",
        "echo epoch 1; echo noise; echo epoch 2",
        cwd=tmp_path,
        RUN_PARALLEL_FOLLOW="^epoch",
    )
    assert done.stderr == "epoch 1\nepoch 2\n"
