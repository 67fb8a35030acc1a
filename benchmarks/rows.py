"""What is compared. A row of the table has one run, or several of which the best on
the development sets speaks for it (the prune points of magnitude and Taylor)."""

from __future__ import annotations

import dataclasses
import fnmatch
from typing import Any, Dict, List, Optional, Sequence

LOCATIONS = ("ffn_macaron", "ffn", "query", "value", "conv_input")
# With channels of the convolution module in place of its inputs
CHANNELS = ("ffn_macaron", "ffn", "query", "value", "conv_channel")
EVERYTHING = (*LOCATIONS, "conv_channel", "subsampling_1", "subsampling_2")
CRITERIA = {"magnitude": "magnitude", "taylor": "Taylor"}
PRUNE_POINTS = (0.3, 0.5, 0.8)
FAMILY = (0.2, 0.4, 0.54, 0.7)

# A location that cannot give the target is asked for this share of what it can.
SHARE_OF_BOUND = 0.9

MAIN, ABLATION, SETTINGS, SIZES = "main", "ablation", "settings", "sizes"


@dataclasses.dataclass(frozen=True)
class Run:
    """One model, trained, made small and scored.

    Args:
        name: of its directory.
        row: key of its row in the table.
        title: of the row, for people.
        section: of the tables.
        kind: how it is made, see ``plan``: "dense", "stock", "gated", "from_dense",
            "cut", "gradual", "small", "torch_pruning" or "recut".
        options: of the kind; for "gated" the ``adaptive_dropout_conf``, for "stock"
            changes of the ``encoder_conf``.
        target: share to remove; None for the comparison's.
    """

    name: str
    row: str
    title: str
    section: str
    kind: str
    options: Dict[str, Any] = dataclasses.field(default_factory=dict)
    target: Optional[float] = None


def all_runs() -> List[Run]:
    """Every run of a seed, the most telling first."""
    return [
        _single("dense", "dense (stock Conformer)", "dense"),
        _single("ours", "adaptive dropout (ours)", "gated"),
        *_prune_points("magnitude", "magnitude, then fine-tuning"),
        *_prune_points("taylor", "Taylor, then fine-tuning"),
        _single(
            "lagrangian", "ours, Lagrangian control", "gated", control="lagrangian"
        ),
        *_from_dense(),
        _single("dense_no_dropout", "dense without dropout", "stock", dropout_rate=0.0),
        _single("small_dense", "small dense from scratch", "small"),
        _single(
            "no_freeze",
            "ours without the freeze, cut at the end",
            "gated",
            freeze_at=1.0,
        ),
        _single("hard_concrete", "hard concrete gates", "gated", gate="hard_concrete"),
        *_even(),
        *_channels(),
        *_everything(),
        *_prune_points("random", "random units, then fine-tuning", points=(0.5,)),
        *_ablations(),
        _single("gradual", "gradual magnitude (cubic, 5 rounds)", "gradual"),
        _single(
            "torch_pruning", "Torch-Pruning, then fine-tuning", "torch_pruning", at=0.5
        ),
        *_settings(),
        *_sizes(),
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


def percent(share: float) -> int:
    """A share as the names of runs have it."""
    return round(100 * share)


def _single(name: str, title: str, kind: str, **options: Any) -> Run:
    return Run(name, name, title, MAIN, kind, options)


def _prune_points(
    criterion: str, title: str, points: Sequence[float] = PRUNE_POINTS
) -> List[Run]:
    return [
        Run(
            f"{criterion}_{percent(point)}",
            criterion,
            title,
            MAIN,
            "cut",
            dict(criterion=criterion, at=point),
        )
        for point in points
    ]


def _from_dense() -> List[Run]:
    """Ours from the checkpoints from which magnitude and Taylor go on."""
    rows = {
        "ours": ("ours", {}),
        "deterministic": ("ours without samples", dict(forward="deterministic")),
        "distilled": ("ours, taught by the full width", dict(distillation=0.5)),
    }
    return [
        Run(
            f"{key}_from_{percent(point)}",
            f"{key}_from_dense",
            f"{title}, from a dense model on",
            MAIN,
            "from_dense",
            dict(options, at=point),
        )
        for key, (title, options) in rows.items()
        for point in (0.3, 0.5)
    ]


def _even() -> List[Run]:
    """The same share removed from every module, by any way of ranking."""
    runs = [_single("ours_even", "ours, even over modules", "gated", budget="module")]
    for criterion, title in CRITERIA.items():
        options = dict(criterion=criterion, at=0.5, budget="module")
        title = f"{title} even over modules, then fine-tuning"
        runs.append(_single(f"{criterion}_even", title, "cut", **options))
    return runs


def _channels() -> List[Run]:
    """Channels of the convolution module go in place of its inputs, and the same
    share of every location, as in Torch-Pruning's "isomorphic" way."""
    options = dict(locations=list(CHANNELS), budget="location")
    late = dict(ramp_start=0.35, ramp_end=0.6, freeze_at=0.65)
    runs = [
        _single("ours_channels", "ours, channels for inputs", "gated", **options),
        _single(
            "ours_channels_late",
            "ours, channels for inputs, from 35 to 60 % of the training",
            "gated",
            **options,
            **late,
        ),
    ]
    for criterion, title in CRITERIA.items():
        title = f"{title}, channels for inputs, then fine-tuning"
        cut = dict(options, criterion=criterion, at=0.5)
        runs.append(_single(f"{criterion}_channels", title, "cut", **cut))
    return runs


def _everything() -> List[Run]:
    """All locations, the channels of the subsampling too, alike for each."""
    options = dict(locations=list(EVERYTHING), budget="location")
    cut = dict(options, criterion="magnitude", at=0.5)
    return [
        _single("ours_all", "ours, all locations", "gated", **options),
        _single(
            "magnitude_all", "magnitude, all locations, then fine-tuning", "cut", **cut
        ),
    ]


def _ablations() -> List[Run]:
    runs = []
    for name in LOCATIONS:
        others = [other for other in LOCATIONS if other != name]
        for key, title, chosen in (
            (f"only_{name}", f"ours, {name} alone", [name]),
            (f"without_{name}", f"ours without {name}", others),
        ):
            runs.append(Run(key, key, title, ABLATION, "gated", dict(locations=chosen)))
    return runs


def _settings() -> List[Run]:
    """Ours with one setting changed."""
    changed = {
        "logit_2": ("initial logit 2 (p = 0.88)", dict(initial_logit=2.0)),
        "temperature_half": ("temperature 0.5", dict(temperature=0.5)),
        "element_masks": ("a mask for each element", dict(granularity="element")),
        "deterministic": (
            "no samples: masks 1[p > 0.5] in training",
            dict(forward="deterministic"),
        ),
        "distilled": (
            "taught by the full width: twice the computing once units go",
            dict(distillation=0.5),
        ),
        "even_blocks": ("even over blocks", dict(budget="block")),
        "long_tail": (
            "ramp to 50 %, frozen at 60 % of the training",
            dict(ramp_end=0.5, freeze_at=0.6),
        ),
        "early_ramp": ("units go from 5 % of the training on", dict(ramp_start=0.05)),
    }
    return [
        Run(key, key, f"ours, {title}", SETTINGS, "gated", options)
        for key, (title, options) in changed.items()
    ]


def _sizes() -> List[Run]:
    """A family of sizes from one training, against a training for each size."""
    family = Run(
        "family",
        "family_54",
        "one training for all sizes, cut to 54 %",
        SIZES,
        "gated",
        dict(family=list(FAMILY)),
        0.54,
    )
    runs = [family]
    for size in FAMILY:
        number = percent(size)
        if number == 54:
            continue
        for of, title in (
            ("family", f"one training for all sizes, cut to {number} %"),
            ("ours", f"ours, cut to {number} %"),
        ):
            key = f"{of}_{number}"
            runs.append(Run(key, key, title, SIZES, "recut", dict(of=of), size))
        title = f"a training for {number} % alone"
        for of, suffix, options in (
            ("separate", "", {}),
            ("lagrangian", ", Lagrangian control", dict(control="lagrangian")),
        ):
            key = f"{of}_{number}"
            runs.append(Run(key, key, title + suffix, SIZES, "gated", options, size))
    for key, title, options in (
        ("ours_70_from_dense", "ours, from a dense model on, for 70 % alone", {}),
        (
            "distilled_70_from_dense",
            "ours, taught by the full width, from a dense model on, for 70 % alone",
            dict(distillation=0.5),
        ),
    ):
        options = dict(options, at=0.3)
        runs.append(Run(key, key, title, SIZES, "from_dense", options, 0.7))
    return runs
