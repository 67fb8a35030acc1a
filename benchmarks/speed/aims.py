"""Speed that the encoders should reach, and whether they do."""

from __future__ import annotations

import dataclasses
from typing import Any, Callable

from benchmarks.speed.columns import ratio, saved_share
from benchmarks.speed.encoders import STOCK
from benchmarks.speed.store import Results
from benchmarks.speed.timing import spread
from espnet_adaptive_dropout.experiments.markdown import table_lines

Rows = dict[str, dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class Aim:
    """One aim.

    Args:
        text: the aim in words.
        row: row that shows whether it is reached.
        limit: upper limit, or lower limit if ``at_least``.
        read: gives the value for a row, the stock row and a clock.
        at_least: whether ``limit`` is a lower limit.
        judge: gives the value to compare with the limit; None: ``read``.
    """

    text: str
    row: str
    limit: float
    read: Callable[[dict, dict, str], float]
    at_least: bool = False
    judge: Callable[[dict, dict, str], float] | None = None

    def value(self, rows: Rows, clock: str) -> float | None:
        """The measured value, or None without results."""
        if self.row not in rows or STOCK not in rows:
            return None
        return self.read(rows[self.row], rows[STOCK], clock)

    def reached(self, rows: Rows, clock: str) -> bool:
        """Whether the measured rows reach the aim."""
        value = (self.judge or self.read)(rows[self.row], rows[STOCK], clock)
        return value >= self.limit if self.at_least else value <= self.limit


def _time(row: dict, stock: dict, clock: str) -> float:
    return ratio(row, clock)


def _low(row: dict, stock: dict, clock: str) -> float:
    return spread(row["ratios"][clock])["low"]


def _saved(row: dict, stock: dict, clock: str) -> float:
    return saved_share(row, stock, clock)


def _memory(row: dict, stock: dict, clock: str) -> float:
    return row["peak_bytes"] / stock["peak_bytes"]


def _control(row: dict, stock: dict, clock: str) -> float:
    return row["control_share"][clock]


_NOT_SLOWER = "no slower than stock before pruning (judged by the lower quartile)"
ENCODING = (
    Aim("54 % removed, all locations: time of stock's", "all_54", 0.5, _time),
    Aim(
        "54 % removed, the paper's locations: time saved of MACs saved",
        "paper_54",
        0.9,
        _saved,
        at_least=True,
    ),
    Aim(f"{_NOT_SLOWER}, the paper's locations", "gated", 1.0, _time, judge=_low),
    Aim(f"{_NOT_SLOWER}, all locations", "gated_all", 1.0, _time, judge=_low),
    Aim("dynamic int8, all locations: time of stock's", "all_54_int8", 0.35, _time),
    Aim(
        "dynamic int8, the paper's locations: time of stock's",
        "paper_54_int8",
        0.35,
        _time,
    ),
    Aim("ONNX int8, all locations: time of stock's", "all_54_onnx_int8", 0.35, _time),
)
TRAINING = (
    Aim("training step, all locations: time of stock's", "gated_all", 1.03, _time),
    Aim(
        "training step, all locations: peak memory of stock's",
        "gated_all",
        1.03,
        _memory,
    ),
    Aim("size control: time of stock's training step", "gated_all", 0.005, _control),
)


def aim_lines(results: Results, clock: str) -> list[str]:
    """Markdown table: aim, limit, measured, reached, and the range over settings."""
    reference = results.reference
    tables = [results.forward[s] for s in results.settings() if s != reference]
    first = [results.forward[reference]] if reference else []
    trained = [content["rows"] for content in results.train]
    cells = [_cells(aim, first, tables, clock) for aim in ENCODING]
    cells += [_cells(aim, trained[:1], trained[1:], clock) for aim in TRAINING]
    headings = ["aim", "limit", "measured", "reached", "in the other settings"]
    return table_lines(headings, cells, left=(0, 3, 4))


def _cells(aim: Aim, first: list[Rows], others: list[Rows], clock: str) -> list[str]:
    limit = f"{'≥' if aim.at_least else '≤'} {100 * aim.limit:g} %"
    value = aim.value(first[0], clock) if first else None
    if value is None:
        return [aim.text, limit, "-", "not measured", ""]
    reached = "yes" if aim.reached(first[0], clock) else "**no**"
    return [aim.text, limit, _percent(value), reached, _others(aim, others, clock)]


def _others(aim: Aim, tables: list[Rows], clock: str) -> str:
    there: list[tuple[float, bool]] = [
        (aim.value(rows, clock), aim.reached(rows, clock))
        for rows in tables
        if aim.value(rows, clock) is not None
    ]
    if not there:
        return "-"
    values = [value for value, _ in there]
    reached = sum(is_reached for _, is_reached in there)
    return (
        f"{_percent(min(values))} to {_percent(max(values))}, reached in {reached} "
        f"of {len(there)}"
    )


def _percent(value: float) -> str:
    return f"{100 * value:.2f} %" if value < 0.02 else f"{100 * value:.1f} %"
