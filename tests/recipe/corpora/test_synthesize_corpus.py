"""The command."""

import os
import signal
import subprocess
import sys
import time

import pytest
from support.paths import RECIPE
from synthesize_corpus import main

SCRIPT = RECIPE / "local/corpora/synthesize_corpus.py"


def test_help_names_the_sizes(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    shown = capsys.readouterr().out
    for word in ("smoke", "toy", "medium", "--nj", "--scale"):
        assert word in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--size", "huge"], "invalid choice: 'huge'"),
        (["--size", "toy", "--scale", "0"], "0 is not a positive number"),
        (["--size", "toy", "--scale", "x"], "invalid"),
        (["--size", "toy", "--nj", "0"], "0 is not 1 or more"),
    ],
)
def test_wrong_options(arguments, words, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        main([*arguments, "--output", str(tmp_path)])
    assert words in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_an_interrupted_run_leaves_nothing(number, status, tmp_path):
    options = ["--size", "smoke", "--nj", "1", "--output", str(tmp_path)]
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), *options],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell starts what runs in its background with this signal ignored.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 60
    while not any(tmp_path.rglob("*.flac")) and time.monotonic() < deadline:
        time.sleep(0.05)
    if number == signal.SIGINT:  # Ctrl-C reaches the whole process group.
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == status
    assert "Traceback" not in errors
    assert list(tmp_path.iterdir()) == []
