"""``adaptive_dropout_conf`` of an encoder or a decoder in a config, checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from espnet_adaptive_dropout.control.option_checks import (
    OPTIONS,
    check_between,
    check_choice,
    check_positive,
    checked,
)
from espnet_adaptive_dropout.control.schedule import PAUSES, usual_time
from espnet_adaptive_dropout.modules.gate import (
    DISTRIBUTIONS,
    FORWARDS,
    TEMPERATURES,
)
from espnet_adaptive_dropout.units.cost import COSTS
from espnet_adaptive_dropout.units.locations import LOCATIONS, by_default, expand
from espnet_adaptive_dropout.units.table import BUDGETS

CONTROLS = ("feedback", "lagrangian", "schedule")
_CHOICES = {
    "control": CONTROLS,
    "budget": BUDGETS,
    "cost": COSTS,
    "gate": DISTRIBUTIONS,
    "forward": FORWARDS,
    "granularity": ("utterance",),
}
_POSITIVE = (
    *("temperature", "alpha", "total_steps", "accum_grad", "cost_frames"),
    *("cost_tokens", "cost_beam", "multiple_of", "logit_scale"),
)
# Options that a resumed training cannot change
SIZE_OPTIONS = (
    "locations",
    "target_reduction",
    "of",
    "family",
    "control",
    "budget",
    "cost",
    "cost_frames",
    "cost_tokens",
    "cost_beam",
    "multiple_of",
)


@dataclasses.dataclass
class AdaptiveDropoutConfig:
    """Options of adaptive dropout: locations, gates, and control of the size.

    Up to ``ramp_start`` (a share of the training) all units are kept and nothing is
    sampled: ESPnet's own training, the dropout of the feed-forward modules included.

    With ``control: feedback`` the penalty alpha * sum_d (beta_d - c(t))^2 is steered
    through c(t) so that the expected share of removed cost follows a ramp from
    ``ramp_start`` to ``ramp_end`` (shares of the training), and at ``freeze_at`` the
    units are ranked, cut to exactly ``target_reduction`` and frozen; the weights
    train on. ``control: lagrangian`` does so with a multiplier on the expected cost.

    With ``control: schedule``, the paper's plain schedule, c(t) falls in a straight
    line from ``centre_first`` to ``centre_last`` between ``ramp_start`` and
    ``ramp_end``, without a freeze. Masks are sampled from the first step on, and the
    size is what comes; ``prune --target_reduction`` cuts it to another.

    Args:
        locations: names in ``locations.LOCATIONS``, or "all"; None takes those of
            ``locations.by_default``. Those that the architecture does not have are
            left out of both.
        target_reduction: share of the encoder's (or decoder's) cost to remove,
            0 < r < 1.
        of: "model": one target for encoder and decoder, whose units then compete, in
            the options of the encoder; None: each has its own.
        control: "feedback", "lagrangian" or "schedule".
        budget: over what the removed share is even: the "encoder" (all units compete),
            every "block", every "location", or every "module" (a location of a block).
        cost: cost of a unit, "parameters" or "macs" (multiply-accumulates).
        cost_frames: length of the utterance at which MACs are counted, in input
            frames of the encoder (1000: 10 s at a hop of 10 ms).
        cost_tokens: number of tokens of that utterance; for the MACs of a decoder.
        cost_beam: number of hypotheses of the search; for the MACs of a decoder.
        multiple_of: number of which every width becomes a multiple.
        family: other shares to remove for which the training is to give good models:
            every batch is trained at one of them or at ``target_reduction``.
        distillation: weight of the divergence of the masked network's posteriors from
            those of a teacher. 0: none.
        teacher: model file of a network of the same config that teaches. None: the
            full-width network, up to the cut.
        total_steps: number of training forward passes (micro-batches) of the whole
            run. None: the runner ``python -m espnet_adaptive_dropout`` works it out.
        accum_grad: micro-batches in an update. None: the runner takes the training's.
        initial_logit: logit of every unit at the start (4.0: p = 0.98).
        gate: distribution of the masks, "bernoulli" or "hard_concrete".
        temperature: temperature of the samples; None takes 1 for Bernoulli and 2/3
            for hard concrete gates.
        forward: "hard" samples, or "deterministic": masks 1[p > 0.5] in training too.
        alpha: weight of the L2 penalty, in units of the task loss per gated unit.
        ramp_start: share of the training at which units begin to go. None takes the
            usual time, see ``schedule.usual_time``; so for the two that follow.
        ramp_end: share of the training at which the target is reached.
        freeze_at: share of the training at which the size is cut to the target and
            the masks are frozen; 1.0 or more: never (the cut is made by ``prune``).
        cut_in_training: whether units are cut out of the training at the first epoch
            after the freeze. A training for several sizes keeps them.
        centre_first: c at the start, ``control: schedule`` only.
        centre_last: c at the end, ``control: schedule`` only.
        history_dir: directory of the training, for histograms of the retention
            probabilities. None: the runner gives it; "" writes none.
        logit_scale: scale of the logits in checkpoints of older releases, which hold
            them divided by it.
        granularity: "utterance" in configs of older releases, which had others too.

    Raises:
        ValueError: an option is unknown, of the wrong type or out of range; the
            message names it.
    """

    locations: str | list[str] | None = None
    target_reduction: float = 0.54
    of: str | None = None
    control: str = "feedback"
    budget: str = "encoder"
    cost: str = "parameters"
    cost_frames: int = 1000
    cost_tokens: int = 40
    cost_beam: int = 10
    multiple_of: int = 1
    family: list[float] | None = None
    distillation: float = 0.0
    teacher: str | None = None
    total_steps: int | None = None
    accum_grad: int | None = None
    initial_logit: float = 4.0
    gate: str = "bernoulli"
    temperature: float | None = None
    forward: str = "hard"
    alpha: float = 0.005
    # None takes the usual time after the one before.
    ramp_start: float = None  # type: ignore[assignment]
    ramp_end: float = None  # type: ignore[assignment]
    freeze_at: float = None  # type: ignore[assignment]
    cut_in_training: bool = True
    centre_first: float = 4.0
    centre_last: float = -60.0
    history_dir: str | None = None
    logit_scale: float | None = None
    granularity: str = "utterance"

    def __post_init__(self) -> None:
        time = 0.0
        for field in dataclasses.fields(self):
            name, value = field.name, getattr(self, field.name)
            if value is None and name in PAUSES:
                value = usual_time(name, self.control, time)
            value = checked(name, value, str(field.type))
            setattr(self, name, value)
            time = value if name in PAUSES else time
        self._check_values()
        self._check_combinations()
        if self.temperature is None:
            self.temperature = TEMPERATURES[self.gate]

    def _check_values(self) -> None:
        for name, choices in _CHOICES.items():
            check_choice(name, getattr(self, name), choices)
        for name in _POSITIVE:
            check_positive(name, getattr(self, name))
        check_between("target_reduction", self.target_reduction)
        for share in self.family or []:
            check_between("family", share)
        check_between("ramp_start", self.ramp_start, 0.0, closed=True)
        check_between("ramp_end", self.ramp_end, self.ramp_start, closed=True)
        if self.distillation < 0.0:
            raise ValueError(f"{OPTIONS}.distillation is negative: {self.distillation}")
        if self.locations is not None:
            try:
                expand(self.locations)
            except ValueError as error:
                raise ValueError(f"{OPTIONS}.locations: {error}") from None

    def _check_combinations(self) -> None:
        if self.of not in (None, "model"):
            raise ValueError(f"{OPTIONS}.of={self.of!r} is not model; or leave it out")
        if self.freeze_at < self.ramp_end:
            raise ValueError(
                f"{OPTIONS}.freeze_at={self.freeze_at} comes before "
                f"ramp_end={self.ramp_end}: the size would be cut before the ramp "
                f"reaches it; choose freeze_at >= ramp_end"
            )
        if self.family and not self.freezes:
            raise ValueError(
                f"{OPTIONS}.family needs a size that is frozen before the end: choose "
                f"freeze_at < 1 and control feedback or lagrangian"
            )
        if self.teacher is not None and not self.distillation:
            raise ValueError(
                f"{OPTIONS}.teacher needs {OPTIONS}.distillation, the weight of what "
                f"it teaches: 0.5 is what was tried"
            )
        if self.forward == "deterministic" and self.gate != "bernoulli":
            raise ValueError(
                f"{OPTIONS}.forward=deterministic goes with gate=bernoulli, not "
                f"{self.gate}"
            )

    @classmethod
    def from_dict(cls, options: dict[str, Any] | None) -> AdaptiveDropoutConfig:
        """Build from the YAML mapping.

        Raises:
            ValueError: an option is unknown, of the wrong type or out of range.
        """
        if options is not None and not isinstance(options, Mapping):
            raise ValueError(
                f"{OPTIONS}={options!r} is not a mapping of options, such as "
                f"'target_reduction: 0.54'"
            )
        options = dict(options or {})
        known = [field.name for field in dataclasses.fields(cls)]
        unknown = sorted(set(options) - set(known))
        if unknown:
            raise ValueError(
                f"{OPTIONS} has no option {', '.join(unknown)}; "
                f"known are {', '.join(known)}"
            )
        return cls(**options)

    @property
    def gates_begin(self) -> float:
        """Share of the training after which masks are sampled."""
        return 0.0 if self.control == "schedule" else self.ramp_start

    @property
    def freezes(self) -> bool:
        """Whether the size becomes final before the training ends."""
        return self.control != "schedule" and self.freeze_at < 1.0

    @property
    def cuts_training(self) -> bool:
        """Whether units are cut out of the training before it ends."""
        is_one_size = set(self.family or []) <= {self.target_reduction}
        return self.freezes and self.cut_in_training and is_one_size

    @property
    def freeze_step(self) -> float:
        """Number of training steps after which the size is frozen.

        Raises:
            RuntimeError: the length of the training is not known.
        """
        return self.freeze_at * self.known_steps

    @property
    def known_steps(self) -> int:
        """``total_steps``, which must be known.

        Raises:
            RuntimeError: it is not.
        """
        if self.total_steps is None:
            raise RuntimeError(
                "adaptive_dropout_conf.total_steps is not set: start the training "
                "with 'python -m espnet_adaptive_dropout -m <espnet2.bin...>', "
                "which works it out, or set it in encoder_conf"
            )
        return self.total_steps

    def size_options(self, stack: str = "encoder") -> dict[str, Any]:
        """Values of ``SIZE_OPTIONS``, equal where they mean the same.

        Args:
            stack: whose options these are, "encoder" or "decoder".
        """
        values = {name: getattr(self, name) for name in SIZE_OPTIONS}
        values["family"] = sorted(set(self.family or []))
        names = by_default(stack)
        if self.locations is not None:
            names = expand(self.locations)
        values["locations"] = sorted(
            name for name in names if LOCATIONS[name].stack == stack
        )
        return values
