"""Times runs in turns, so that all of them see the same load of the machine."""

from __future__ import annotations

import random
import statistics
import time
from typing import Callable, Dict, List, Mapping, Sequence

from tqdm import tqdm

Reading = Dict[str, float]


def time_in_turns(
    runs: Mapping[str, Callable[[], object]],
    clock: Callable[[Callable[[], object]], Reading],
    rounds: int,
    seconds: float = float("inf"),
    label: str = "timing",
) -> Dict[str, List[Reading]]:
    """Time every run once a round, in a new random order each.

    Args:
        runs: by name; each runs once more before, to warm up.
        clock: runs one and reads the time.
        rounds: at most.
        seconds: no new round begins after so many, once there are five.
        label: of the progress bar.

    Returns:
        The readings of each run, one a round.
    """
    for run in runs.values():
        run()
    order = list(runs)
    shuffle = random.Random(0).shuffle
    readings: Dict[str, List[Reading]] = {name: [] for name in runs}
    end = time.monotonic() + seconds
    for index in tqdm(range(rounds), desc=label, leave=False):
        if index >= 5 and time.monotonic() > end:
            break
        shuffle(order)
        for name in order:
            readings[name].append(clock(runs[name]))
    return readings


def spread(values: Sequence[float]) -> Dict[str, float]:
    """Median, quartiles and median absolute deviation."""
    middle = statistics.median(values)
    low, high = middle, middle
    if len(values) > 1:
        low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    deviation = statistics.median(abs(value - middle) for value in values)
    return {"median": middle, "low": low, "high": high, "deviation": deviation}


def ratios(values: Sequence[float], of: Sequence[float]) -> List[float]:
    """Each value over that of the same round."""
    return [value / base for value, base in zip(values, of)]
