"""Times runs in turns, so that all of them see the same load of the machine."""

from __future__ import annotations

import random
import statistics
import time
from typing import Any, Callable, Dict, List, Mapping, Sequence

from tqdm import tqdm

from benchmarks.speed.settings import Effort

Reading = Dict[str, float]


def take_turns(
    runs: Mapping[str, Callable[[], Any]], effort: Effort, label: str
) -> Dict[str, List[Any]]:
    """Run everything once a round, in a new random order each.

    Args:
        runs: by name.
        effort: number of rounds.
        label: of the progress bar.

    Returns:
        What each run returned, one a round.
    """
    order = list(runs)
    shuffle = random.Random(0).shuffle
    results: Dict[str, List[Any]] = {name: [] for name in runs}
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
) -> Dict[str, List[Reading]]:
    """Time every run once a round, after one run each to warm up.

    Args:
        runs: by name.
        clock: runs one and reads the time.
        effort: number of rounds.
        label: of the progress bar.
    """
    for run in runs.values():
        run()
    timed = {name: lambda run=run: clock(run) for name, run in runs.items()}
    return take_turns(timed, effort, label)


def summary(
    readings: Sequence[Reading], stock: Sequence[Reading]
) -> Dict[str, Dict[str, List[float]]]:
    """Seconds, and ratios to the stock encoder in the same round, by clock."""
    columns = {clock: [r[clock] for r in readings] for clock in readings[0]}
    ratios = {
        clock: [r[clock] / base[clock] for r, base in zip(readings, stock)]
        for clock in columns
    }
    return {"seconds": columns, "ratios": ratios}


def spread(values: Sequence[float]) -> Dict[str, float]:
    """Median, quartiles and median absolute deviation."""
    middle = statistics.median(values)
    low, high = middle, middle
    if len(values) > 1:
        low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    deviation = statistics.median(abs(value - middle) for value in values)
    return {"median": middle, "low": low, "high": high, "deviation": deviation}
