"""Times encoding: every row in one setting, in turns."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Sequence
from typing import Any

import torch

from benchmarks.speed.build import noise
from benchmarks.speed.encoders import STOCK, Row, parse_row
from benchmarks.speed.forms import Forms, Run
from benchmarks.speed.grid import WIDTH_ROWS, Setting, efforts
from benchmarks.speed.timing import Effort, Reading, summary, time_in_turns
from benchmarks.speed.work import Work

LOGGER = logging.getLogger("espnet_adaptive_dropout.benchmarks")
# Share of the time for all parts
SHARE = 0.55
# Seconds before a run, for the threads of the previous one to go to sleep
REST = 0.02


def run(work: Work) -> list[str]:
    """Measure the settings of ``work``; return the names of their results."""
    store = work.store("forward")
    todo = {}
    for setting in work.settings:
        names = [row.name for row in work.rows]
        if setting.size != work.size:
            names = [name for name in names if name in WIDTH_ROWS]
        missing = store.todo(setting.key, names)
        if missing:
            todo[setting] = [parse_row(n) for n in dict.fromkeys([STOCK, *missing])]
    for setting, effort in efforts(list(todo), SHARE * work.seconds, work.rounds):
        forms = work.forms(setting.size)
        found, missing = measure(forms, setting, todo[setting], effort)
        store.add(setting.key, dataclasses.asdict(setting), found, missing)
    return [setting.key for setting in work.settings]


def measure(
    forms: Forms, setting: Setting, rows: Sequence[Row], effort: Effort
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Time rows, of which the stock encoder must be one.

    Returns:
        For each row its times, their ratios to those of the stock encoder in the same
        round, its sizes and peak memory; and why rows could not be measured.
    """
    inputs = noise(setting.batch, setting.seconds)
    torch.set_num_threads(setting.threads)
    runs, missing = {}, {}
    for row in rows:
        try:
            runs[row.name] = forms.run(row, inputs, setting.threads)
        except (ValueError, ImportError) as error:
            missing[row.name] = str(error)
            LOGGER.warning("%s is left out: %s", row.name, error)

    def clock(run: Run) -> Reading:
        if setting.threads > 1:
            time.sleep(REST)
        return forms.device.time(run)

    readings = time_in_turns(runs, clock, effort, str(setting))
    results = {}
    for row in rows:
        if row.name in readings:
            result: dict[str, Any] = summary(readings[row.name], readings[STOCK])
            result.update(_sizes(forms, row, setting))
            results[row.name] = result
    return results, missing


def _sizes(forms: Forms, row: Row, setting: Setting) -> dict[str, Any]:
    parameters, macs = forms.builder.counts(row, setting.seconds)
    sizes = {"parameters": parameters, "macs": macs * setting.batch}
    if not row.form:
        sizes["activation_bytes"] = activation_bytes(forms, row, setting)
    return sizes


def activation_bytes(forms: Forms, row: Row, setting: Setting) -> int:
    """Peak memory of encoding beside weights and inputs."""
    encoder, device = forms.encoder(row), forms.device
    inputs = tuple(x.to(device.name) for x in noise(setting.batch, setting.seconds))

    @torch.no_grad()
    def run() -> None:
        with device.precision():
            encoder(*inputs)

    known = (*encoder.parameters(), *encoder.buffers(), *inputs)
    return device.peak_memory(run, known)
