"""Time from file to ready and memory, of each form in a new process."""

from __future__ import annotations

import logging
import multiprocessing
import statistics
import time
from pathlib import Path
from typing import Any, Callable

import torch

from benchmarks.speed.build import noise
from benchmarks.speed.encoders import Row
from benchmarks.speed.forms import saved_bytes, write_experiment
from benchmarks.speed.timing import Device, take_turns
from benchmarks.speed.work import Work

LOGGER = logging.getLogger("espnet_adaptive_dropout.benchmarks")
SHARE = 0.1
SECONDS = 10.0
# Imported before the clock starts.
_PRELOADED = [
    "benchmarks.speed.loading",
    "espnet2.tasks.asr",
    "espnet_adaptive_dropout",
    "espnet_adaptive_dropout.export.onnx",
    "espnet_adaptive_dropout.export.int8",
]


def run(work: Work) -> list[str]:
    """Measure rows without results; return the name of the results."""
    store = work.store("load")
    key = work.key(batch=1, seconds=f"{SECONDS:g}")
    names = store.todo(key, [row.name for row in work.rows])
    rows = [row for row in work.rows if row.name in names]
    jobs: dict[str, Callable[[], dict[str, float]]] = {}
    missing, sizes = {}, {}
    for row in rows:
        try:
            path = _file(work, row)
            sizes[row.name] = _size(work, row, path)
        except (ValueError, ImportError) as error:
            missing[row.name] = str(error)
            LOGGER.warning("%s is left out: %s", row.name, error)
            continue
        jobs[row.name] = lambda row=row, path=path: in_fresh_process(
            row.form, path, work.device
        )
    if jobs:
        readings = take_turns(jobs, work.effort(SHARE, 5, least=3), "loading")
        found = {
            name: {"file_bytes": sizes[name], **_medians(read)}
            for name, read in readings.items()
        }
        setting = work.describe(batch=1, seconds=SECONDS, threads=1)
        store.add(key, setting, found, missing)
    return [key]


def _file(work: Work, row: Row) -> Path:
    if work.device.is_cuda and row.form:
        raise ValueError(f"{row.name} runs on a CPU only")
    if row.form.startswith("onnx"):
        return work.forms(work.size).onnx_file(row)
    directory = work.exp / "models" / work.size / row.base
    return write_experiment(work.builder(work.size), row, directory)


def _size(work: Work, row: Row, path: Path) -> int:
    """Bytes of the encoder alone."""
    if row.form.startswith("onnx"):
        return path.stat().st_size
    return saved_bytes(work.forms(work.size).encoder(row))


def _medians(readings: list[dict[str, float]]) -> dict[str, Any]:
    names = readings[0]
    return {n: statistics.median(reading[n] for reading in readings) for n in names}


def in_fresh_process(form: str, path: Path, device: Device) -> dict[str, float]:
    """Load and encode once in a process that has only imported what it needs.

    Args:
        form: key of ``rows.FORMS``.
        path: ONNX file, or directory of an ESPnet experiment.
        device: device to load to.

    Returns:
        ``load_seconds``, ``first_seconds`` (the first utterance, of ten seconds) and
        ``process_bytes`` (how much the process grew at its largest).

    Raises:
        ValueError: the process failed.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_load, args=(sender, form, path, device))
    process.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:
        raise ValueError(f"{path}: the process that loaded it died") from None
    finally:
        process.join()


def _load(sender, form: str, path: Path, device: Device) -> None:
    logging.getLogger().setLevel(logging.ERROR)
    torch.set_num_threads(1)
    before = _resident("VmRSS")
    start = time.perf_counter()
    encoder = _opened(form, path, device)
    ready = time.perf_counter()
    inputs = noise(1, SECONDS)
    if form.startswith("onnx"):
        encoder(*(x.numpy() for x in inputs))
    else:
        with torch.inference_mode(), device.precision():
            encoder(*(x.to(device.name) for x in inputs))
        device.wait()
    end = time.perf_counter()
    sender.send(
        {
            "load_seconds": ready - start,
            "first_seconds": end - ready,
            "process_bytes": device.memory_of_process(_resident("VmHWM") - before),
        }
    )


def _opened(form: str, path: Path, device: Device) -> Callable:
    if form.startswith("onnx"):
        from espnet_adaptive_dropout.export.onnx import OnnxEncoder

        return OnnxEncoder(path, threads=1)
    from espnet2.tasks.asr import ASRTask

    model, _ = ASRTask.build_model_from_file(
        str(path / "config.yaml"), str(path / "model.pth"), device.name
    )
    encoder = model.eval().encoder
    if form == "int8":
        from espnet_adaptive_dropout.export.int8 import quantize

        encoder = quantize(encoder)
    device.wait()
    return encoder


def _resident(name: str) -> int:
    """A memory figure of this process in bytes; 0 where the system has none."""
    try:
        with open("/proc/self/status", encoding="utf-8") as stream:
            lines = [line for line in stream if line.startswith(name + ":")]
    except OSError:
        return 0
    return int(lines[0].split()[1]) * 1024 if lines else 0
