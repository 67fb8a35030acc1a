"""A run of the comparison, how runs are described, and when they are pruned."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

LOCATIONS = ("ffn_macaron", "ffn", "query", "value", "conv_input")
EVERYTHING = (*LOCATIONS, "conv_channel", "subsampling_1", "subsampling_2")
PRUNE_POINTS = (0.3, 0.5, 0.8)
TARGET = 0.54
FAMILY = (0.2, 0.4, TARGET, 0.7)
SMALL = 0.7

# Share of the training up to which all gates are open by default
OPEN_UNTIL = 0.2

# A location that cannot give the target is asked for this share of what it can.
SHARE_OF_BOUND = 0.9

# A training is divided into this many equal parts, after each of which ESPnet validates
# and saves ("epochs" to ESPnet): enough to average three after the freeze at 85 %,
# and to prune at 30, 50 and 80 % of even a short training.
PARTS = 20

MAIN, ABLATION, SETTINGS, SIZES = "main", "ablation", "settings", "sizes"
EQUAL_COST, BOTH = "equal_cost", "both"


@dataclasses.dataclass(frozen=True)
class Run:
    """One model, trained, made small and scored.

    Args:
        name: name of its directory.
        row: key of its row in the table.
        title: the row's title in the tables.
        section: section of the tables.
        kind: how it is made, see ``plan``: "dense", "stock", "gated", "cut",
            "gradual", "small", "torch_pruning" or "recut".
        options: for "gated" the ``adaptive_dropout_conf``, for "stock"
            changes to the ``encoder_conf``.
        at: share of the dense training after which this run continues from its
            checkpoint; None: the run is trained from the first step.
        target: share of the encoder to remove; None: that of the comparison.
        parts: length of the training, see ``PARTS``; a training whose network is small
            for most of it can be longer than the dense one at the same cost.
    """

    name: str
    row: str
    title: str
    section: str
    kind: str
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    at: float | None = None
    target: float | None = None
    parts: int = PARTS


def percent(share: float) -> int:
    """A share as it stands in the names of runs, in percent."""
    return round(100 * share)


def single(
    name: str,
    title: str,
    kind: str,
    section: str = MAIN,
    at: float | None = None,
    target: float | None = None,
    **options: Any,
) -> Run:
    """A run in a row of its own; without ``at`` it is trained from the first step."""
    return Run(name, name, title, section, kind, options, at, target)


def gated(name: str, title: str, **more: Any) -> Run:
    """Adaptive dropout, started from the dense checkpoint as the other methods are.

    Chance in the first part of the training is then the same for all.
    """
    return single(name, title, "gated", at=OPEN_UNTIL, **more)


def cut(name: str, title: str, **more: Any) -> Run:
    """A training that a criterion prunes halfway."""
    return single(name, title, "cut", at=0.5, **more)


def recut(of: str, title: str, target: float) -> Run:
    """The training of another run, pruned to another size."""
    size = percent(target)
    title = f"{title}, cut to {size} %"
    return single(f"{of}_{size}", title, "recut", SIZES, target=target, of=of)


def prune_points(
    row: str,
    title: str,
    points: Sequence[float] = PRUNE_POINTS,
    section: str = MAIN,
    target: float | None = None,
    **options: Any,
) -> list[Run]:
    """Runs that a criterion prunes at several points; the best stands for the row."""
    return [
        Run(
            f"{row}_{percent(point)}",
            row,
            title,
            section,
            "cut",
            options,
            point,
            target,
        )
        for point in points
    ]


def prune_part(share: float, parts: int = PARTS) -> int:
    """The checkpoint nearest to ``share`` of the training, the last one excluded."""
    return min(max(math.floor(share * parts + 0.5), 1), parts - 1)


def cubic_rounds(
    target: float,
    rounds: int = 5,
    first: float = 0.2,
    last: float = 0.7,
    parts: int = PARTS,
) -> list[tuple[int, float]]:
    """Gradual pruning by the cubic schedule of Zhu & Gupta (2018), from nothing.

    Their s(t) = s_f - s_f (1 - (t - t_0) / (n dt))^3 is 0 at t_0, so that the first
    of the ``rounds`` cuts is made one dt later and the last at ``last``.

    Args:
        target: share removed after the last round.
        rounds: number of cuts.
        first: share of the training at t_0.
        last: share of the training at the last cut.
        parts: checkpoints of the training.

    Returns:
        (checkpoint, share removed after it), in order.
    """
    result = []
    for index in range(1, rounds + 1):
        progress = index / rounds
        removed = target * (1.0 - (1.0 - progress) ** 3)
        result.append((prune_part(first + (last - first) * progress, parts), removed))
    return result
