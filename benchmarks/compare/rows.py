"""What is compared.

A row of the table has one run, or several of which the best on the development sets
stands for the row (the prune points of magnitude and Taylor).
"""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from typing import Any

from benchmarks.compare.equal_cost import equal_cost_runs
from benchmarks.compare.runs import (
    ABLATION,
    BOTH,
    EQUAL_COST,
    EVERYTHING,
    FAMILY,
    LOCATIONS,
    MAIN,
    OPEN_UNTIL,
    PRUNE_POINTS,
    SETTINGS,
    SIZES,
    SMALL,
    TARGET,
    Run,
    cut,
    gated,
    percent,
    prune_points,
    recut,
    single,
)


def all_runs() -> list[Run]:
    """Every run of a seed, the most informative first."""
    return [
        single("dense", "dense (stock Conformer)", "dense"),
        gated("ours", "adaptive dropout (ours)"),
        gated("distilled", "ours, taught by the full width", distillation=0.5),
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
        *_ablations(),
        *_families(),
        *_sizes(),
        *_settings(),
        single("dense_no_dropout", "dense without dropout", "stock", dropout_rate=0.0),
        *_everything(),
        *equal_cost_runs(),
        *_both(),
        *prune_points(
            "random", "random units, then fine-tuning", (0.5,), criterion="random"
        ),
    ]


def chosen_runs(patterns: Sequence[str]) -> list[Run]:
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
                f"{MAIN}, {EQUAL_COST}, {BOTH}, {ABLATION}, {SETTINGS}, {SIZES}"
            )
        chosen.update(hits)
    return [run for run in runs if run.name in chosen]


def _everything() -> list[Run]:
    """All locations together, for the size of the comparison and a much smaller one."""
    ways = {
        "ours_all": ("ours, all locations", {}),
        "distilled_all": (
            "ours, all locations, taught by the full width",
            dict(distillation=0.5),
        ),
    }
    runs = []
    for size in (None, SMALL):
        suffix = "" if size is None else f"_{percent(size)}"
        end = "" if size is None else f", {percent(size)} %"
        section = MAIN if size is None else SIZES
        for key, (title, options) in ways.items():
            run = gated(
                key + suffix,
                title + end,
                section=section,
                target=size,
                locations=list(EVERYTHING),
                **options,
            )
            runs.append(run)
        runs += prune_points(
            f"taylor_all{suffix}",
            f"Taylor, all locations{end}, then fine-tuning",
            PRUNE_POINTS[1:],
            section,
            size,
            criterion="taylor",
            locations=list(EVERYTHING),
        )
    return runs


def _ablations() -> list[Run]:
    """Each of the paper's locations alone, and each left out."""
    runs = []
    for name in LOCATIONS:
        others = [other for other in LOCATIONS if other != name]
        for key, title, chosen in (
            (f"only_{name}", f"ours, {name} alone", [name]),
            (f"without_{name}", f"ours without {name}", others),
        ):
            runs.append(gated(key, title, section=ABLATION, locations=chosen))
    return runs


def _both() -> list[Run]:
    """Encoder and decoder of a hybrid model with one target, from the first step."""
    options: dict[str, Any] = dict(locations=list(EVERYTHING), of="model")
    title = "ours, encoder and decoder"
    taught = f"{title}, taught by the full width until the cut"
    return [
        single("both", title, "gated", BOTH, **options),
        single("both_taught", taught, "gated", BOTH, distillation=0.5, **options),
        single(
            "both_taught_by_dense",
            f"{title}, taught by the trained dense model",
            "gated",
            BOTH,
            distillation=0.5,
            teacher="dense",
            **options,
        ),
    ]


def _settings() -> list[Run]:
    """Ours with one setting changed."""
    changed = {
        "logit_2": ("initial logit 2 (p = 0.88)", dict(initial_logit=2.0)),
        "temperature_half": ("temperature 0.5", dict(temperature=0.5)),
        "deterministic": (
            "no samples: masks 1[p > 0.5] in training",
            dict(forward="deterministic"),
        ),
        "even_blocks": ("even over blocks", dict(budget="block")),
        "late_cut": (
            "ramp to 70 %, cut at 85 % of the training",
            dict(ramp_end=0.7, freeze_at=0.85),
        ),
    }
    runs = [
        gated(key, f"ours, {title}", section=SETTINGS, **options)
        for key, (title, options) in changed.items()
    ]
    for key, title, options, at in (
        ("ramp_from_half", "units go from 50 % of the training on", {}, 0.5),
        (
            "early_ramp",
            "units go from 5 % of the training on",
            dict(ramp_start=0.05),
            None,
        ),
    ):
        title = f"ours, {title}"
        runs.append(single(key, title, "gated", SETTINGS, at, **options))
    return runs


def _families() -> list[Run]:
    """One training for all sizes, pruned to each of them."""
    ways = {
        "family": ("one training for all sizes", {}),
        "family_all": (
            "one training for all sizes, all locations, taught",
            dict(locations=list(EVERYTHING), distillation=0.5),
        ),
    }
    runs = []
    for key, (title, options) in ways.items():
        options = dict(options, family=list(FAMILY))
        row, whole = f"{key}_{percent(TARGET)}", f"{title}, cut to {percent(TARGET)} %"
        runs.append(Run(key, row, whole, SIZES, "gated", options, OPEN_UNTIL, TARGET))
        runs += [recut(key, title, size) for size in FAMILY if size != TARGET]
    return runs


def _sizes() -> list[Run]:
    """A training for each size, the usual training pruned to it, and Taylor."""
    runs = []
    for size in FAMILY:
        if size == TARGET:
            continue
        number = percent(size)
        runs.append(recut("ours", "ours", size))
        for of, title, options in (
            ("separate", "", {}),
            ("distilled", ", taught by the full width", dict(distillation=0.5)),
            ("lagrangian", ", Lagrangian control", dict(control="lagrangian")),
        ):
            title = f"a training for {number} % alone{title}"
            options = dict(options, section=SIZES, target=size)
            runs.append(gated(f"{of}_{number}", title, **options))
        title = f"Taylor for {number} %, then fine-tuning"
        options = dict(section=SIZES, target=size, criterion="taylor")
        runs.append(cut(f"taylor_for_{number}", title, **options))
    return runs
