"""What is compared. A row of the table has one run, or several of which the best on
the development sets speaks for it (the prune points of magnitude and Taylor)."""

from __future__ import annotations

import dataclasses
import fnmatch
from typing import Any, Dict, List, Optional, Sequence

LOCATIONS = ("ffn_macaron", "ffn", "query", "value", "conv_input")
# With channels of the convolution module in place of its inputs
CHANNELS = ("ffn_macaron", "ffn", "query", "value", "conv_channel")
EVERYTHING = [*LOCATIONS, "conv_channel", "subsampling_1", "subsampling_2"]
CRITERIA = {"magnitude": "magnitude", "taylor": "Taylor"}
PRUNE_POINTS = (0.3, 0.5, 0.8)
FAMILY = (0.2, 0.4, 0.54, 0.7)
SMALL = 0.7

# Up to here the gates are open by default, which is the dense model's own training.
OPEN_UNTIL = 0.3

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
        kind: how it is made, see ``plan``: "dense", "stock", "gated", "cut",
            "gradual", "small", "torch_pruning" or "recut".
        options: of the kind; for "gated" the ``adaptive_dropout_conf``, for "stock"
            changes of the ``encoder_conf``.
        at: share of the dense row's training after which it goes on from there; None:
            it is trained from the first step.
        target: share to remove; None for the comparison's.
    """

    name: str
    row: str
    title: str
    section: str
    kind: str
    options: Dict[str, Any] = dataclasses.field(default_factory=dict)
    at: Optional[float] = None
    target: Optional[float] = None


def all_runs() -> List[Run]:
    """Every run of a seed, the most telling first."""
    return [
        _single("dense", "dense (stock Conformer)", "dense"),
        _gated("ours", "adaptive dropout (ours)"),
        _gated(
            "distilled",
            "ours, taught by the full width: twice the computing once units go",
            distillation=0.5,
        ),
        *_prune_points("magnitude", "magnitude, then fine-tuning"),
        *_prune_points("taylor", "Taylor, then fine-tuning"),
        _single("ours_whole", "ours, trained from the first step", "gated"),
        _single(
            "distilled_whole",
            "ours, taught, trained from the first step",
            "gated",
            distillation=0.5,
        ),
        _gated("lagrangian", "ours, Lagrangian control", control="lagrangian"),
        _single("small_dense", "small dense from scratch", "small"),
        _gated("no_freeze", "ours without the freeze, cut at the end", freeze_at=1.0),
        _gated("hard_concrete", "hard concrete gates", gate="hard_concrete"),
        Run(
            "torch_pruning",
            "torch_pruning",
            "Torch-Pruning, then fine-tuning",
            MAIN,
            "torch_pruning",
            at=0.5,
        ),
        _single("gradual", "gradual magnitude (cubic, 5 rounds)", "gradual"),
        *_ablations(),
        *_sizes(),
        *_settings(),
        _single("dense_no_dropout", "dense without dropout", "stock", dropout_rate=0.0),
        *_even(),
        *_channels(),
        *_everything(),
        *_prune_points("random", "random units, then fine-tuning", points=(0.5,)),
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


def _gated(name: str, title: str, section: str = MAIN, **options: Any) -> Run:
    """Ours, from the dense row's checkpoint on, as the rivals are: chance in the
    part that all have in common is the same for all."""
    return Run(name, name, title, section, "gated", options, OPEN_UNTIL)


def _cut(name: str, title: str, section: str = MAIN, **options: Any) -> Run:
    """A criterion's cut in the middle of the training."""
    return Run(name, name, title, section, "cut", options, 0.5)


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
            dict(criterion=criterion),
            point,
        )
        for point in points
    ]


def _even() -> List[Run]:
    """The same share removed from every module, by any way of ranking."""
    runs = [_gated("ours_even", "ours, even over modules", budget="module")]
    for criterion, title in CRITERIA.items():
        title = f"{title} even over modules, then fine-tuning"
        options = dict(criterion=criterion, budget="module")
        runs.append(_cut(f"{criterion}_even", title, **options))
    return runs


def _channels() -> List[Run]:
    """Channels of the convolution module go in place of its inputs, and the same
    share of every location, as in Torch-Pruning's "isomorphic" way."""
    options = dict(locations=list(CHANNELS), budget="location")
    runs = [_gated("ours_channels", "ours, channels for inputs", **options)]
    for criterion, title in CRITERIA.items():
        title = f"{title}, channels for inputs, then fine-tuning"
        runs.append(
            _cut(f"{criterion}_channels", title, **options, criterion=criterion)
        )
    return runs


def _everything() -> List[Run]:
    """All locations compete, the channels of the convolution module and of the
    subsampling too, for the comparison's size and for a much smaller one."""
    gated = {
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
        for key, (title, options) in gated.items():
            options = dict(options, locations=EVERYTHING)
            run = _gated(key + suffix, title + end, section, **options)
            runs.append(dataclasses.replace(run, target=size))
        for point in PRUNE_POINTS[1:]:
            run = Run(
                f"taylor_all{suffix}_{percent(point)}",
                f"taylor_all{suffix}",
                f"Taylor, all locations{end}, then fine-tuning",
                section,
                "cut",
                dict(criterion="taylor", locations=EVERYTHING),
                point,
                size,
            )
            runs.append(run)
    return runs


def _ablations() -> List[Run]:
    runs = []
    for name in LOCATIONS:
        others = [other for other in LOCATIONS if other != name]
        for key, title, chosen in (
            (f"only_{name}", f"ours, {name} alone", [name]),
            (f"without_{name}", f"ours without {name}", others),
        ):
            runs.append(_gated(key, title, ABLATION, locations=chosen))
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
        "even_blocks": ("even over blocks", dict(budget="block")),
        "long_tail": (
            "ramp to 50 %, frozen at 60 % of the training",
            dict(ramp_end=0.5, freeze_at=0.6),
        ),
    }
    runs = [
        _gated(key, f"ours, {title}", SETTINGS, **options)
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
        runs.append(Run(key, key, f"ours, {title}", SETTINGS, "gated", options, at))
    return runs


def _sizes() -> List[Run]:
    """A family of sizes from one training, against a training for each size."""
    family = Run(
        "family",
        "family_54",
        "one training for all sizes, cut to 54 %",
        SIZES,
        "gated",
        dict(family=list(FAMILY)),
        OPEN_UNTIL,
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
            run = Run(key, key, title, SIZES, "recut", dict(of=of), target=size)
            runs.append(run)
        for of, title, options in (
            ("separate", "", {}),
            ("distilled", ", taught by the full width", dict(distillation=0.5)),
            ("lagrangian", ", Lagrangian control", dict(control="lagrangian")),
        ):
            title = f"a training for {number} % alone{title}"
            run = _gated(f"{of}_{number}", title, SIZES, **options)
            runs.append(dataclasses.replace(run, target=size))
        title = f"Taylor for {number} %, then fine-tuning"
        run = _cut(f"taylor_for_{number}", title, SIZES, criterion="taylor")
        runs.append(dataclasses.replace(run, target=size))
    return runs
