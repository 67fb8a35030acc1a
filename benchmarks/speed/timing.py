"""Time and memory, on a CPU or a GPU; only this module knows which.

Runs take turns, so that a load on the machine slows all of them alike.
"""

from __future__ import annotations

import contextlib
import dataclasses
import random
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any, Callable

import torch
from tqdm import tqdm

from espnet_adaptive_dropout.report.memory import peak_bytes

DEVICES = ("cpu", "cuda")
DTYPES = ("float32", "bfloat16")

Reading = dict[str, float]


@dataclasses.dataclass(frozen=True)
class Device:
    """Where and in which precision the encoders run.

    Args:
        name: one of DEVICES; CUDA_VISIBLE_DEVICES selects the GPU.
        dtype: "float32", or "bfloat16" by autocast.

    Raises:
        ValueError: there is no such device here.
    """

    name: str = "cpu"
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if self.is_cuda and not torch.cuda.is_available():
            raise ValueError("--device cuda: PyTorch sees no GPU here; use cpu")

    @property
    def is_cuda(self) -> bool:
        """Whether it is a GPU."""
        return self.name == "cuda"

    @property
    def description(self) -> str:
        """Name of the hardware."""
        if self.is_cuda:
            return torch.cuda.get_device_name(self.name)
        return _cpu_model()

    def precision(self) -> contextlib.AbstractContextManager:
        """Autocast to ``dtype``, or nothing."""
        if self.dtype == "float32":
            return contextlib.nullcontext()
        return torch.autocast(self.name, dtype=getattr(torch, self.dtype))

    def time(self, run: Callable[[], object]) -> dict[str, float]:
        """Run once; seconds of "wall" and of "cpu" (of all threads of the process).

        On a GPU "wall" is the time between two events on it.
        """
        if self.is_cuda:
            return self._time_on_gpu(run)
        cpu, wall = time.process_time(), time.perf_counter()
        run()
        return {
            "wall": time.perf_counter() - wall,
            "cpu": time.process_time() - cpu,
        }

    def _time_on_gpu(self, run: Callable[[], object]) -> dict[str, float]:
        start = torch.cuda.Event(enable_timing=True)
        end = torch.cuda.Event(enable_timing=True)
        torch.cuda.synchronize()
        cpu = time.process_time()
        start.record()
        run()
        end.record()
        torch.cuda.synchronize()
        return {
            "wall": start.elapsed_time(end) / 1e3,
            "cpu": time.process_time() - cpu,
        }

    def peak_memory(
        self, run: Callable[[], object], known: Sequence[torch.Tensor]
    ) -> int:
        """Peak of the bytes of the tensors that ``run`` adds to those ``known``."""
        if not self.is_cuda:
            return peak_bytes(run, known)
        run()  # what libraries keep for themselves is there before the reading
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before

    def wait(self) -> None:
        """Wait until all work on the device is done."""
        if self.is_cuda:
            torch.cuda.synchronize()

    def memory_of_process(self, grown: int) -> int:
        """Peak memory of this process; on a CPU the bytes that it has ``grown`` by."""
        return torch.cuda.max_memory_allocated() if self.is_cuda else grown


def _cpu_model() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as stream:
            lines = [line for line in stream if line.startswith("model name")]
        return lines[0].partition(":")[2].strip()
    except (OSError, IndexError):
        return "unknown CPU"


@dataclasses.dataclass(frozen=True)
class Effort:
    """How long to measure.

    Args:
        rounds: maximal number of rounds.
        seconds: time after which no new round begins.
        least: minimal number of rounds, whatever the time, up to ``rounds``.
    """

    rounds: int
    seconds: float = float("inf")
    least: int = 5


def take_turns(
    runs: Mapping[str, Callable[[], Any]], effort: Effort, label: str
) -> dict[str, list[Any]]:
    """Run everything once in each round, in random order.

    Args:
        runs: by name.
        effort: number of rounds.
        label: text before the progress bar.

    Returns:
        Results of each run, one for each round.
    """
    order = list(runs)
    shuffle = random.Random(0).shuffle
    results: dict[str, list[Any]] = {name: [] for name in runs}
    end = time.monotonic() + effort.seconds
    for index in tqdm(range(effort.rounds), desc=label, leave=False):
        if index >= effort.least and time.monotonic() > end:
            break
        shuffle(order)
        for name in order:
            results[name].append(runs[name]())
    return results


def time_in_turns(
    runs: Mapping[str, Callable[[], object]],
    clock: Callable[[Callable[[], object]], Reading],
    effort: Effort,
    label: str = "timing",
) -> dict[str, list[Reading]]:
    """Time every run once in each round, after one run each to warm up.

    Args:
        runs: by name.
        clock: runs one and reads the time.
        effort: number of rounds.
        label: text before the progress bar.
    """
    for run in runs.values():
        run()
    timed = {name: lambda run=run: clock(run) for name, run in runs.items()}
    return take_turns(timed, effort, label)


def summary(
    readings: Sequence[Reading], stock: Sequence[Reading]
) -> dict[str, dict[str, list[float]]]:
    """Seconds, and ratios to the stock encoder in the same round, by clock."""
    columns = {clock: [r[clock] for r in readings] for clock in readings[0]}
    ratios = {
        clock: [r[clock] / base[clock] for r, base in zip(readings, stock)]
        for clock in columns
    }
    return {"seconds": columns, "ratios": ratios}


def medians(readings: Sequence[Reading]) -> Reading:
    """Median of each number over the readings."""
    return {name: statistics.median(r[name] for r in readings) for name in readings[0]}


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, quartiles and median absolute deviation."""
    middle = statistics.median(values)
    low, high = middle, middle
    if len(values) > 1:
        low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    deviation = statistics.median(abs(value - middle) for value in values)
    return {"median": middle, "low": low, "high": high, "deviation": deviation}
