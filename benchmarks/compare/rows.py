"""What is compared. A row of the table has one run, or several of which the best on
the development sets speaks for it (the prune points of magnitude and Taylor)."""

from __future__ import annotations

import fnmatch
from typing import List, Sequence

from benchmarks.compare.runs import (
    ABLATION,
    MAIN,
    SETTINGS,
    SIZES,
    Run,
    gated,
    prune_points,
    single,
)
from benchmarks.compare.variants import (
    ablations,
    channels,
    even,
    everything,
    families,
    settings,
    sizes,
)


def all_runs() -> List[Run]:
    """Every run of a seed, the most telling first."""
    return [
        single("dense", "dense (stock Conformer)", "dense"),
        gated("ours", "adaptive dropout (ours)"),
        gated(
            "distilled",
            "ours, taught by the full width: twice the computing once units go",
            distillation=0.5,
        ),
        *prune_points(
            "magnitude", "magnitude, then fine-tuning", criterion="magnitude"
        ),
        *prune_points("taylor", "Taylor, then fine-tuning", criterion="taylor"),
        single("ours_whole", "ours, trained from the first step", "gated"),
        single(
            "distilled_whole",
            "ours, taught, trained from the first step",
            "gated",
            distillation=0.5,
        ),
        gated("lagrangian", "ours, Lagrangian control", control="lagrangian"),
        single("small_dense", "small dense from scratch", "small"),
        gated("no_freeze", "ours without the freeze, cut at the end", freeze_at=1.0),
        gated("hard_concrete", "hard concrete gates", gate="hard_concrete"),
        single(
            "torch_pruning", "Torch-Pruning, then fine-tuning", "torch_pruning", at=0.5
        ),
        single("gradual", "gradual magnitude (cubic, 5 rounds)", "gradual"),
        *ablations(),
        *families(),
        *sizes(),
        *settings(),
        single("dense_no_dropout", "dense without dropout", "stock", dropout_rate=0.0),
        *even(),
        *channels(),
        *everything(),
        *prune_points(
            "random", "random units, then fine-tuning", (0.5,), criterion="random"
        ),
    ]


def chosen_runs(patterns: Sequence[str]) -> List[Run]:
    """The runs whose name, row or section matches one of the patterns, in order.

    Raises:
        ValueError: a pattern matches nothing.
    """
    runs = all_runs()
    chosen = set()
    for pattern in patterns:
        hits = [
            run.name
            for run in runs
            if any(
                fnmatch.fnmatch(x, pattern) for x in (run.name, run.row, run.section)
            )
        ]
        if not hits:
            names = ", ".join(dict.fromkeys(run.row for run in runs))
            raise ValueError(
                f"--rows {pattern}: no such row; there are {names}, and the sections "
                f"{MAIN}, {ABLATION}, {SETTINGS}, {SIZES}"
            )
        chosen.update(hits)
    return [run for run in runs if run.name in chosen]
