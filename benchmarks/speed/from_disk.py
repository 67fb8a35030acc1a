"""Times models read from disk: from file to ready, and recognition by ESPnet."""

from __future__ import annotations

import logging
import multiprocessing
import time
from pathlib import Path
from typing import Any, Callable

import torch
from espnet2.bin.asr_inference import Speech2Text
from espnet2.tasks.asr import ASRTask

from benchmarks.speed.build import noise
from benchmarks.speed.choices import STOCK, Row, parse_row
from benchmarks.speed.timing import Device, medians, summary, take_turns, time_in_turns
from benchmarks.speed.work import Work
from espnet_adaptive_dropout.export.export import saved_bytes
from espnet_adaptive_dropout.export.int8 import quantize
from espnet_adaptive_dropout.export.onnx import OnnxEncoder

LOGGER = logging.getLogger("espnet_adaptive_dropout.benchmarks")
# Shares of the time for all parts
LOADING_SHARE, DECODING_SHARE = 0.1, 0.15
# Of the utterance that is encoded after loading
SECONDS = 10.0
# Of the utterances that are decoded
LENGTHS = (5.0, 10.0)
RATE = 16000
# The weights are random, and so would be the length of the text: it is set.
TOKENS_PER_SECOND = 3
SEARCHES = {"greedy": 1, "beam 5": 5}
DECODED = (STOCK, "paper_54", "all_54", "stock_int8", "paper_54_int8", "all_54_int8")


def time_loading(work: Work) -> list[str]:
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
        readings = take_turns(jobs, work.effort(LOADING_SHARE, 5, least=3), "loading")
        found = {
            name: {"file_bytes": sizes[name], **medians(read)}
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
    return work.experiment(row)


def _size(work: Work, row: Row, path: Path) -> int:
    """Bytes of the encoder alone."""
    if row.form.startswith("onnx"):
        return path.stat().st_size
    return saved_bytes(work.forms(work.size).encoder(row))


def in_fresh_process(form: str, path: Path, device: Device) -> dict[str, float]:
    """Load and encode once in a process that has only imported what it needs.

    Args:
        form: key of ``choices.FORMS``.
        path: ONNX file, or directory of an ESPnet experiment.
        device: device to load to.

    Returns:
        ``load_seconds``, ``first_seconds`` (the first utterance, of ten seconds) and
        ``process_bytes`` (how much the process grew at its largest).

    Raises:
        ValueError: the process failed.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
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
        return OnnxEncoder(path, threads=1)
    model, _ = ASRTask.build_model_from_file(
        str(path / "config.yaml"), str(path / "model.pth"), device.name
    )
    encoder = model.eval().encoder
    if form == "int8":
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


def time_decoding(work: Work) -> list[str]:
    """Measure rows without results; return the names of the results."""
    store = work.store("decode")
    rows = [row for row in work.rows if row.name in DECODED]
    if work.device.is_cuda:
        rows = [row for row in rows if not row.form]
    keys = []
    for search, beam in SEARCHES.items():
        key = work.key(beam=beam)
        keys.append(key)
        missing = store.todo(key, [row.name for row in rows])
        if missing:
            chosen = [parse_row(n) for n in dict.fromkeys([STOCK, *missing])]
            found = decode(work, chosen, beam)
            setting = work.describe(
                search=search, seconds=LENGTHS, tokens_per_second=TOKENS_PER_SECOND
            )
            store.add(key, setting, found, {})
    return keys


def decode(work: Work, rows: list[Row], beam: int) -> dict[str, dict[str, Any]]:
    """Decode the same utterances with every row's model, in turns."""
    torch.set_num_threads(1)
    recognisers = {row.name: recogniser(work, row, beam) for row in rows}
    generator = torch.Generator().manual_seed(0)
    audio = [
        0.1 * torch.randn(int(seconds * RATE), generator=generator)
        for seconds in LENGTHS
    ]
    runs = {
        name: _decoding(made, audio, work.device) for name, made in recognisers.items()
    }
    effort = work.effort(DECODING_SHARE / len(SEARCHES), 20, least=3)
    readings = time_in_turns(runs, work.device.time, effort, f"decoding, beam {beam}")
    return {
        name: {**summary(read, readings[STOCK]), "audio_seconds": sum(LENGTHS)}
        for name, read in readings.items()
    }


def recogniser(work: Work, row: Row, beam: int):
    """ESPnet's recogniser with a row's model, read from an experiment on disk."""
    directory = work.experiment(row)
    return Speech2Text(
        str(directory / "config.yaml"),
        str(directory / "model.pth"),
        device=work.device.name,
        beam_size=beam,
        ctc_weight=1.0,
        lm_weight=0.0,
        quantize_asr_model=row.form == "int8",
    )


def _decoding(
    recognise, audio: list[torch.Tensor], device: Device
) -> Callable[[], None]:
    def run() -> None:
        for samples in audio:
            tokens = TOKENS_PER_SECOND * len(samples) // RATE
            recognise.maxlenratio = float(-tokens)  # ESPnet's way of an exact number
            with device.precision():
                recognise(samples)

    return run
