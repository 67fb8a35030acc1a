"""Progress of the stages, read from the logs that asr.sh names."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time

import pytest
from progress import Progress, epoch_summary
from support.paths import RECIPE

RESULTS = (
    "[train] iter_time=0.1, loss=12.3, acc=nan, expected_reduction=0.41, "
    "optim0_lr0=0.01, train_time=0.2, time=12 seconds, total_count=8, [valid] "
    "loss=10.1, acc=0.5, time=1 second"
)


def test_epoch_summary():
    assert epoch_summary("3", RESULTS) == (
        "  epoch 3: train loss 12.3, valid loss 10.1, valid acc 0.5, "
        "share removed 0.41, 12 seconds"
    )


def test_jobs_and_utterances_are_counted(tmp_path):
    old = tmp_path / "asr_inference.3.log"
    old.write_text("INFO: speech length: 5\n# Ended (code 0) at\n")
    os.utime(old, (1, 1))  # of an earlier run with more jobs
    progress = Progress(io.StringIO())
    progress.follow(str(tmp_path / "asr_inference.*.log"))
    (tmp_path / "keys.1.scp").write_text("a x\nb x\n")
    (tmp_path / "keys.2.scp").write_text("c x\n")
    first = tmp_path / "asr_inference.1.log"
    first.write_text("# cmd\nINFO: speech length: 5\nINFO: speech le")
    (tmp_path / "asr_inference.2.log").write_text("# cmd\n")
    progress.read()
    with first.open("a") as stream:
        stream.write("ngth: 7\n# Ended (code 0) at\n")
    progress.read()
    progress.reported = 0.0
    progress.show()
    assert progress.stream.getvalue().startswith("  1/2 jobs, 2/3 utterances, ")


@pytest.fixture
def start(tmp_path):
    """Function that starts progress.py with a stand-in for asr.sh."""

    def run(script):
        (tmp_path / "asr.sh").write_text(f"#!/bin/bash\n{script}\n")
        (tmp_path / "asr.sh").chmod(0o755)
        command = [sys.executable, RECIPE / "local/progress.py", "./asr.sh"]
        return subprocess.Popen(
            [*command, "--nj", "2", "--stage", "11", "--stop_stage", "11"],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return run


def test_training_is_shown(start):
    done = start(
        f"""echo "x (asr.sh:9:main) ./asr.sh --nj 2"
        echo "x (asr.sh:9:main) ASR training started... log: 'train.log'"
        echo "[h] 2/4epoch started. Estimated time to finish: 3 seconds" > train.log
        echo "[h] INFO: 2epoch results: {RESULTS}" >> train.log"""
    )
    out, err = done.communicate()
    assert (done.returncode, err) == (0, "")
    assert "./asr.sh --nj" not in out and "ASR training started" in out
    assert "  2/4epoch started. Estimated time to finish: 3 seconds\n" in out
    assert "  epoch 2: train loss 12.3" in out


def test_failed_job_is_named_with_its_last_words(start):
    done = start(
        """echo "Decoding started... log: 'j.*.log'"
        printf '# cmd\\nfine\\n# Ended (code 0) at\\n' > j.1.log
        printf '# cmd\\nValueError: no\\n# Ended (code 1) at\\n' > j.2.log
        exit 3"""
    )
    _, err = done.communicate()
    assert done.returncode == 3
    expected = "run.sh: error: stage 11 failed: ValueError: no (log: j.2.log)\n"
    assert err == expected


def test_everything_ends_when_it_is_stopped(start, tmp_path):
    done = start("sleep 100 & echo $! > pid; wait")
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        time.sleep(0.05)
    done.send_signal(signal.SIGTERM)
    _, err = done.communicate(timeout=20)
    assert done.returncode == 128 + signal.SIGTERM
    assert err == "run.sh: interrupted; go on with --stage 11\n"
    with pytest.raises(ProcessLookupError):
        for _ in range(100):
            os.kill(int((tmp_path / "pid").read_text()), 0)
            time.sleep(0.05)
