"""Measures a whole ``adaprune compress``: ``python -m benchmarks.speed.compressing``.

A hybrid CTC/attention model of random weights is compressed without a training on noise
with random transcripts, in a process of its own. Prints Markdown tables: time, peak of
the resident memory beside the size of the checkpoint, and the time of every part. The
held-out utterances are recognised with a set number of tokens, as random weights do not
end a text. Run nothing else meanwhile; on a busy machine the times are upper bounds.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import torch
from espnet2.tasks.asr import ASRTask

from benchmarks import ROOT
from benchmarks.files import write_text
from benchmarks.speed.recognisers import SIZES, Size, model_config
from espnet_adaptive_dropout.bin.command import CommandLine, execute
from espnet_adaptive_dropout.experiments.experiment import build_model
from espnet_adaptive_dropout.experiments.files import write_yaml
from espnet_adaptive_dropout.experiments.markdown import table_lines

_MODULE = "benchmarks.speed.compressing"
RATE = 16000
TOKENS_PER_SECOND = 3
CHECKPOINT = "valid.acc.ave.pth"
# Utterances that compress holds out of so few
HELD_OUT = 8


def get_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed.compressing",
        description=__doc__.splitlines()[0],
    )
    add = parser.add_argument
    add("--size", choices=SIZES, default="960h", help="of the model: %(default)s")
    add("--minutes", type=float, default=10.0, help="of audio to rank on: %(default)s")
    add("--seconds", type=float, default=10.0, help="of each utterance: %(default)s")
    add("--threads", type=int, default=2)
    add("--target_reduction", type=float, default=0.5)
    add("--criterion", default="taylor")
    add("--make", type=Path, help=argparse.SUPPRESS)  # what the first process does
    return parser


def main(cmd: CommandLine = None) -> None:
    """Parse ``cmd``, measure and print."""
    execute("speed.compressing", get_parser, measure, cmd)


def measure(args: argparse.Namespace) -> None:
    """Make model and data, compress, and print the tables.

    Raises:
        ValueError: a number is out of range, or the command fails.
    """
    if args.minutes <= 0 or args.seconds < 1 or args.threads < 1:
        raise ValueError("--minutes must be above 0, --seconds and --threads 1 or more")
    if args.make:
        make_model(SIZES[args.size], args.make / "exp")
        return
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        # This process stays small: its memory would count as that of the next one.
        options = ["--size", args.size, "--make", name]
        subprocess.run([sys.executable, "-m", _MODULE, *options], check=True, cwd=ROOT)
        number = max(1, round(60 * args.minutes / args.seconds))
        make_data(directory / "data", number + HELD_OUT, args.seconds, args.size)
        tokens = max(1, round(TOKENS_PER_SECOND * args.seconds))
        write_yaml(directory / "decode.yaml", dict(beam_size=1, maxlenratio=-tokens))
        run = compress(directory, args)
        checkpoint = (directory / "exp" / CHECKPOINT).stat().st_size
        print("\n".join(tables(run, checkpoint, number, args)))


def make_model(size: Size, experiment: Path) -> None:
    """Write an experiment with random weights."""
    torch.manual_seed(0)
    config = model_config(size)
    experiment.mkdir(parents=True)
    write_yaml(experiment / "config.yaml", config)
    state = build_model(ASRTask, config).state_dict()
    torch.save(state, experiment / CHECKPOINT)


def make_data(directory: Path, number: int, seconds: float, size: str) -> None:
    """Write a Kaldi data directory of noise with random transcripts."""
    directory.mkdir(parents=True)
    generator, words = np.random.default_rng(0), random.Random(0)
    tables: dict[str, list[str]] = {"wav.scp": [], "text": [], "utt2spk": []}
    for index in range(number):
        name = f"utt{index:04}"
        path = directory / f"{name}.wav"
        soundfile.write(path, generator.normal(0, 0.1, int(seconds * RATE)), RATE)
        tokens = int(seconds * TOKENS_PER_SECOND)
        chosen = words.choices(range(SIZES[size].tokens - 3), k=tokens)
        tables["wav.scp"].append(f"{name} {path}\n")
        tables["text"].append(f"{name} {' '.join(f'w{word}' for word in chosen)}\n")
        tables["utt2spk"].append(f"{name} {name}\n")
    for table, lines in tables.items():
        write_text(directory / table, "".join(lines))


@dataclasses.dataclass
class Run:
    """What a run of the command took.

    Args:
        seconds: time of the whole command.
        peak_bytes: largest resident memory of its process.
        lines: seconds since the line before, and the line, of all that it printed
            while it worked.
    """

    seconds: float
    peak_bytes: int
    lines: list[tuple[float, str]]


def compress(directory: Path, args: argparse.Namespace) -> Run:
    """Run the command on a model and data of a directory.

    Raises:
        ValueError: the command fails.
    """
    command = [sys.executable, "-u", "-m", "espnet_adaptive_dropout.bin.compress"]
    command += [str(directory / "exp"), "--data", str(directory / "data")]
    command += ["--output_dir", str(directory / "small"), "--train", "none"]
    command += ["--inference_config", str(directory / "decode.yaml")]
    for name in ("minutes", "target_reduction", "criterion"):
        command += [f"--{name}", str(getattr(args, name))]
    threads = {f"{name}_NUM_THREADS": str(args.threads) for name in ("OMP", "MKL")}
    start = last = time.perf_counter()
    lines = []
    with open(directory / "errors", "w+", encoding="utf-8") as errors:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, **threads},
        )
        assert process.stdout is not None
        for line in process.stdout:
            now = time.perf_counter()
            lines.append((now - last, line.strip()))
            last = now
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            raise ValueError(f"compress failed: {errors.read()[-500:]}")
    seconds = time.perf_counter() - start
    return Run(seconds, 1024 * usage.ru_maxrss, lines)


def tables(
    run: Run, checkpoint: int, number: int, args: argparse.Namespace
) -> list[str]:
    """Return the tables as Markdown lines.

    Args:
        run: what the command took.
        checkpoint: size of the checkpoint in bytes.
        number: utterances to rank on.
        args: options of the benchmark.
    """
    title = f"{SIZES[args.size].title}, {number} utterances of {args.seconds:g} s, "
    title += f"{args.criterion}, {args.threads} thread(s)"
    headings = ["checkpoint", "time", "peak memory", "of the checkpoint"]
    peak = run.peak_bytes
    row = [f"{checkpoint / 1e6:.0f} MB", f"{run.seconds:.0f} s", f"{peak / 1e6:.0f} MB"]
    parts = [[f"{seconds:.1f} s", line] for seconds, line in _work(run.lines)]
    return [
        *(title, ""),
        *table_lines(headings, [[*row, f"{peak / checkpoint:.2f}"]]),
        *("", *table_lines(["since the line before", "line"], parts, left=(1,))),
    ]


def _work(lines: list[tuple[float, str]]) -> list[tuple[float, str]]:
    """Return the lines up to the report, which the command prints at its end."""
    end = next((i for i, (_, line) in enumerate(lines) if line.startswith("#")), None)
    return [(seconds, line) for seconds, line in lines[:end] if line]


if __name__ == "__main__":
    main()
