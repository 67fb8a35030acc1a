"""Runs ESPnet's own training command, and shows how far it is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Callable

from tqdm import tqdm

import espnet_adaptive_dropout
from espnet_adaptive_dropout.compress.length import EPOCHS, Length
from espnet_adaptive_dropout.compress.resume import make_resumable
from espnet_adaptive_dropout.experiments.files import directory_lock

_STEP = re.compile(r"(\d+)epoch:train:\d+-(\d+)batch")
_EPOCH = re.compile(r"(\d+)epoch results: (.*)")
_PACKAGE_ROOT = str(Path(espnet_adaptive_dropout.__file__).resolve().parents[1])


def train(
    task: str,
    config_file: Path,
    experiment: Path,
    length: Length,
    arguments: Sequence[str],
    say: Callable[[str], None],
) -> None:
    """Train, or go on with a training that was interrupted.

    Args:
        task: name of a module of ``espnet2.tasks``.
        config_file: training config.
        experiment: directory of the training, whose log is ``train.log`` there.
        length: length of the training.
        arguments: further options of the training command.
        say: is called with a line about every epoch.

    Raises:
        ValueError: the training failed or was killed; the message has the last line of
            its log. Or that of an earlier run, which was killed, still works there.
        OSError: it cannot be started.
    """
    experiment.mkdir(parents=True, exist_ok=True)
    command = [
        *(sys.executable, "-m", "espnet_adaptive_dropout"),
        *("-m", f"espnet2.bin.{task}_train", "--config", str(config_file)),
        *("--output_dir", str(experiment), *arguments),
    ]
    path = os.pathsep.join(filter(None, [_PACKAGE_ROOT, os.environ.get("PYTHONPATH")]))
    log = experiment / "train.log"
    with directory_lock(experiment) as lock:
        make_resumable(experiment, say)
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, "PYTHONPATH": path},
            pass_fds=[lock],  # a training outlives this process if that is killed
        )
        try:
            last = _follow(process, log, length, say)
            status = process.wait()
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    if status < 0:
        raise ValueError(
            f"the training was killed (signal {-status}); the same command goes on "
            f"with it; see {log}"
        )
    if status:
        raise ValueError(f"the training failed: {last[:200]}; see {log}")


def _follow(
    process: subprocess.Popen, log: Path, length: Length, say: Callable[[str], None]
) -> str:
    """Write the log while the training runs; return its last line."""
    last = "no output"
    assert process.stdout is not None
    bar = tqdm(total=length.steps, desc="training", unit="batch", leave=False)
    with open(log, "a", encoding="utf-8") as file, bar:
        for line in process.stdout:
            file.write(line)
            file.flush()
            last = line.strip() or last
            step, epoch = _STEP.search(line), _EPOCH.search(line)
            if step:
                bar.n = (int(step[1]) - 1) * length.per_epoch + int(step[2])
                bar.refresh()
            elif epoch:
                bar.n = int(epoch[1]) * length.per_epoch
                bar.refresh()
                with tqdm.external_write_mode():
                    say(epoch_summary(epoch[1], epoch[2]))
    return last


def epoch_summary(number: str, results: str) -> str:
    """Return the gist of ESPnet's line about an epoch.

    Args:
        number: number of the epoch.
        results: what follows "epoch results:".
    """
    training, _, validation = results.partition("[valid]")
    parts = []
    for phase, text in (("training", training), ("validation", validation)):
        for name in ("loss", "acc"):
            found = re.search(rf"[ \]]{name}=([^,]+)", text)
            if found and found[1] != "nan":
                parts.append(f"{phase} {name} {found[1]}")
    found = re.search(r"[ \]]time=([^,]+)", training)
    if found:
        parts.append(found[1])
    return f"  epoch {number} of {EPOCHS}: {', '.join(parts)}"
