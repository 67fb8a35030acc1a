"""Real-time factor of recognition by ESPnet's ``Speech2Text``, from audio to text."""

from __future__ import annotations

from typing import Any, Callable

import torch

from benchmarks.speed.encoders import STOCK, Row, parse_row
from benchmarks.speed.forms import write_experiment
from benchmarks.speed.timing import Device, summary, time_in_turns
from benchmarks.speed.work import Work

SHARE = 0.15
LENGTHS = (5.0, 10.0)
RATE = 16000
# The weights are random, and so would be the length of the text: it is set.
TOKENS_PER_SECOND = 3
SEARCHES = {"greedy": 1, "beam 5": 5}
ROWS = (STOCK, "paper_54", "all_54", "stock_int8", "paper_54_int8", "all_54_int8")


def run(work: Work) -> list[str]:
    """Measure rows without results; return the names of the results."""
    store = work.store("decode")
    rows = [row for row in work.rows if row.name in ROWS]
    if work.device.is_cuda:
        rows = [row for row in rows if not row.form]
    keys = []
    for search, beam in SEARCHES.items():
        key = work.key(beam=beam)
        keys.append(key)
        missing = store.todo(key, [row.name for row in rows])
        if missing:
            chosen = [parse_row(n) for n in dict.fromkeys([STOCK, *missing])]
            found = measure(work, chosen, beam)
            setting = work.describe(
                search=search, seconds=LENGTHS, tokens_per_second=TOKENS_PER_SECOND
            )
            store.add(key, setting, found, {})
    return keys


def measure(work: Work, rows: list[Row], beam: int) -> dict[str, dict[str, Any]]:
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
    effort = work.effort(SHARE / len(SEARCHES), 20, least=3)
    readings = time_in_turns(runs, work.device.time, effort, f"decoding, beam {beam}")
    return {
        name: {**summary(read, readings[STOCK]), "audio_seconds": sum(LENGTHS)}
        for name, read in readings.items()
    }


def recogniser(work: Work, row: Row, beam: int):
    """ESPnet's recogniser with a row's model, read from an experiment on disk."""
    from espnet2.bin.asr_inference import Speech2Text

    directory = work.exp / "models" / work.size / row.base
    write_experiment(work.builder(work.size), row, directory)
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
