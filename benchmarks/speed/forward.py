"""Times encoding: every row in one setting, in turns."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any, Dict, List, Mapping, Sequence, Tuple

import torch

from benchmarks.speed.build import noise
from benchmarks.speed.forms import Forms
from benchmarks.speed.rows import STOCK, Row
from benchmarks.speed.turns import Reading, ratios, time_in_turns

LOGGER = logging.getLogger("espnet_adaptive_dropout.benchmarks")


@dataclasses.dataclass(frozen=True)
class Setting:
    """In what an encoder is timed.

    Args:
        size: key of ``architecture.SIZES``.
        batch: number of utterances.
        seconds: length of each.
        threads: of PyTorch and ONNX Runtime.
        device: name.
        dtype: see ``Device``.
    """

    size: str
    batch: int
    seconds: float
    threads: int
    device: str = "cpu"
    dtype: str = "float32"

    @property
    def key(self) -> str:
        """Name of its results' file."""
        device = self.device.replace(":", "")
        return (
            f"{self.size}_{device}_{self.dtype}_batch{self.batch}"
            f"_{self.seconds:g}s_{self.threads}threads"
        )

    def __str__(self) -> str:
        return (
            f"width {self.size}, batch {self.batch}, {self.seconds:g} s, "
            f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        )


@dataclasses.dataclass(frozen=True)
class Effort:
    """How long to measure.

    Args:
        rounds: at most.
        seconds: no new round after so many, once there are five.
    """

    rounds: int
    seconds: float


def measure(
    forms: Forms, setting: Setting, rows: Sequence[Row], effort: Effort
) -> Tuple[Dict[str, Dict[str, Any]], Dict[str, str]]:
    """Time rows, of which the stock encoder must be one.

    Returns:
        For each row its readings and its ratios to the stock encoder in the same
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
    readings = time_in_turns(
        runs, forms.device.time, effort.rounds, effort.seconds, str(setting)
    )
    results = {}
    for row in rows:
        if row.name in readings:
            result = summary(readings[row.name], readings[STOCK])
            result.update(_sizes(forms, row, setting))
            results[row.name] = result
    return results, missing


def summary(
    readings: List[Reading], stock: List[Reading]
) -> Dict[str, Mapping[str, List[float]]]:
    """Seconds and ratios of each round, by clock ("wall", "cpu")."""
    columns = {clock: [r[clock] for r in readings] for clock in readings[0]}
    base = {clock: [r[clock] for r in stock] for clock in stock[0]}
    return {
        "seconds": columns,
        "ratios": {clock: ratios(columns[clock], base[clock]) for clock in columns},
    }


def _sizes(forms: Forms, row: Row, setting: Setting) -> Dict[str, Any]:
    parameters, macs = forms.builder.counts(row, setting.seconds)
    sizes = {"parameters": parameters, "macs": macs * setting.batch}
    if not row.form:
        sizes["activation_bytes"] = activation_bytes(forms, row, setting)
    return sizes


def activation_bytes(forms: Forms, row: Row, setting: Setting) -> int:
    """Peak of what encoding takes beside weights and inputs."""
    encoder, device = forms.encoder(row), forms.device
    inputs = noise(setting.batch, setting.seconds)
    inputs = tuple(x.to(device.name) for x in inputs)

    @torch.no_grad()
    def run() -> None:
        with device.precision():
            encoder(*inputs)

    return device.peak_memory(run, (*encoder.parameters(), *encoder.buffers(), *inputs))
