"""The command."""

import os
import resource
import signal
import subprocess
import sys
import time

import pytest
from support.paths import RECIPE

PROGRAM = [sys.executable, str(RECIPE / "local/corpora/synthesize_corpus.py")]


def run(*arguments, **options) -> subprocess.CompletedProcess:
    command = [*PROGRAM, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, **options)


def last_line(text: str) -> str:
    """What remains on the screen after the progress bar."""
    return text.strip().split("\n")[-1].split("\r")[-1]


def test_help_names_the_sizes():
    answer = run("--help")
    assert answer.returncode == 0
    for word in ("smoke", "toy", "medium", "--nj", "--scale"):
        assert word in answer.stdout


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--size", "huge"], "invalid choice: 'huge'"),
        (["--size", "toy", "--scale", "0"], "0 is not a positive number"),
        (["--size", "toy", "--scale", "x"], "invalid"),
        (["--size", "toy", "--nj", "0"], "0 is not 1 or more"),
    ],
)
def test_bad_options(arguments, words, tmp_path):
    answer = run(*arguments, "--output", tmp_path)
    assert answer.returncode == 2
    assert words in last_line(answer.stderr)


def test_a_failing_write_is_one_line_and_leaves_nothing(tmp_path):
    def limit_file_size():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    options = ("--size", "smoke", "--scale", 0.02, "--nj", 1, "--output", tmp_path)
    answer = run(*options, preexec_fn=limit_file_size)
    assert answer.returncode == 1
    assert "error: cannot write" in last_line(answer.stderr)
    assert "File too large" in last_line(answer.stderr)
    assert "Traceback" not in answer.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_an_interrupted_run_leaves_nothing(number, status, tmp_path):
    command = [*PROGRAM, "--size", "smoke", "--nj", "2", "--output", str(tmp_path)]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell starts what runs in its background with this signal ignored.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 60
    while not any(tmp_path.rglob("*.flac")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(
        number
    )
    _, errors = process.communicate(timeout=60)
    assert process.returncode == status
    assert "Traceback" not in errors
    assert list(tmp_path.iterdir()) == []
