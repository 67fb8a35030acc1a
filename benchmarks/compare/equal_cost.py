"""Rows whose trainings cost as much as the dense one, however many steps that gives.

A training whose network is small from early on has steps to spare. All rows of a length
go on from checkpoints of the same dense training. ``training_cost`` counts the cost.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from benchmarks.compare.runs import (
    EQUAL_COST,
    EVERYTHING,
    PARTS,
    SMALL,
    TARGET,
    Run,
    percent,
)
from benchmarks.compare.training_cost import PASSES

# MACs that are left with all locations, as a share of the dense encoder's; measured.
LEFT = {TARGET: 0.49, SMALL: 0.36}
# Checkpoints of the dense training at which the criteria cut
CUT_AT = (4, 6)


@dataclasses.dataclass(frozen=True)
class Schedule:
    """When units go, in parts of the dense training.

    Args:
        start: part after which masks are sampled.
        end: part at whose end the target is reached.
        frozen: part at whose end the masks are frozen; the next is small.
    """

    start: int
    end: int
    frozen: int

    def options(self, parts: int) -> dict[str, Any]:
        """``adaptive_dropout_conf`` of a training of ``parts`` parts."""
        return dict(
            ramp_start=round(self.start / parts, 5),
            ramp_end=round(self.end / parts, 5),
            # Some steps before the part ends
            freeze_at=round((self.frozen - 0.01) / parts, 5),
        )


EARLY = Schedule(4, 6, 7)


def equal_cost_runs() -> list[Run]:
    """Ours and Taylor, with and without a teacher, at two sizes, and variants."""
    runs = []
    for size in (TARGET, SMALL):
        suffix = "" if size == TARGET else f"_{percent(size)}"
        end = "" if size == TARGET else f", {percent(size)} %"
        target = None if size == TARGET else size
        for name, title, more in (
            ("early", "ours", {}),
            ("early_taught", "ours, taught until the cut", dict(distillation=0.5)),
        ):
            title = f"{title}{end}"
            runs.append(_ours(name + suffix, title, size, target, 1.0, more))
        for part in CUT_AT:
            row, title = f"taylor_early{suffix}", f"Taylor, then fine-tuning{end}"
            runs.append(_taylor(row, title, size, target, part))
    more: dict[str, Any] = dict(distillation=0.5)
    title = "Taylor, then fine-tuning, taught by the full width at the cut"
    runs.append(_taylor("taylor_early_taught", title, TARGET, None, CUT_AT[0], **more))
    for name, title, cost, other in (
        ("early_taught_75", "at 75 % of the cost", 0.75, {}),
        ("early_taught_of_8", "widths are multiples of 8", 1.0, dict(multiple_of=8)),
    ):
        title = f"ours, taught until the cut, {title}"
        runs.append(_ours(name, title, TARGET, None, cost, {**more, **other}))
    return runs


def _taylor(
    row: str, title: str, size: float, target: float | None, part: int, **taught: float
) -> Run:
    left = LEFT[size] + (1 / PASSES if taught else 0)  # the teacher's forward pass
    parts = part + math.floor((PARTS - part) / left)
    options = dict(criterion="taylor", locations=list(EVERYTHING), **taught)
    name, at = f"{row}_{percent(part / PARTS)}", part / PARTS
    return Run(name, row, title, EQUAL_COST, "cut", options, at, target, parts)


def _ours(
    name: str,
    title: str,
    size: float,
    target: float | None,
    cost: float,
    more: dict[str, Any],
) -> Run:
    # The forward pass of the full width, up to the cut
    taught = (EARLY.frozen - EARLY.start) / PASSES if "distillation" in more else 0
    left = PARTS * cost - EARLY.frozen - taught
    parts = EARLY.frozen + math.floor(left / LEFT[size])
    options = dict(locations=list(EVERYTHING), **EARLY.options(parts), **more)
    at = EARLY.start / PARTS
    return Run(name, name, title, EQUAL_COST, "gated", options, at, target, parts)
