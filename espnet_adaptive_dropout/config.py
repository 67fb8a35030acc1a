"""``encoder_conf.adaptive_dropout_conf`` of a training config, checked."""

from __future__ import annotations

import dataclasses
from typing import Any, Dict, List, Optional

from espnet_adaptive_dropout.gate import FORWARDS, GRANULARITIES

CONTROLS = ("feedback", "schedule")


@dataclasses.dataclass
class AdaptiveDropoutConfig:
    """What to gate, how to sample, and how to reach the size asked for.

    The defaults are for ``control: feedback``: the penalty
    alpha * sum_d (beta_d - c(t))^2 is steered through c(t) so that the expected
    share of removed parameters follows a ramp from ``ramp_start`` to ``ramp_end``
    (shares of the training), and at ``freeze_at`` the units are ranked, cut to
    exactly ``target_reduction`` and frozen; the weights train on to the end.

    With ``control: schedule`` c(t) falls in a straight line from ``centre_first``
    to ``centre_last`` between ``ramp_start`` and ``ramp_end``, without feedback and
    without a freeze: the paper's plain schedule. The final size is then what comes.

    Args:
        locations: names out of ``locations.LOCATIONS``; None takes all that the
            architecture has.
        target_reduction: share of the encoder's parameters to remove, 0 < r < 1.
        control: "feedback" or "schedule".
        total_steps: number of training forward passes (micro-batches) of the whole
            run. None: the runner ``python -m espnet_adaptive_dropout`` works it out.
        logit_scale: how much faster than the weights the logits move. None: the
            runner works it out as 20 / (sum of the learning rates), within [1, 100].
        initial_logit: logit of every unit at the start (4.0: p = 0.98).
        temperature: of the Gumbel-sigmoid.
        forward: "hard" or "soft" samples.
        granularity: a mask for each "utterance", "element" or "batch".
        alpha: weight of the penalty, in units of the task loss per gated unit.
        ramp_start: share of the training at which units begin to go.
        ramp_end: share of the training at which the target is reached.
        freeze_at: share of the training at which the size is cut to the target and
            the masks are frozen; 1.0 or more: never (the cut is made by ``prune``).
        centre_first: c at the start, ``control: schedule`` only.
        centre_last: c at the end, ``control: schedule`` only.

    Raises:
        ValueError: an option is unknown or out of range; the message names it.
    """

    locations: Optional[List[str]] = None
    target_reduction: float = 0.54
    control: str = "feedback"
    total_steps: Optional[int] = None
    logit_scale: Optional[float] = None
    initial_logit: float = 4.0
    temperature: float = 1.0
    forward: str = "hard"
    granularity: str = "utterance"
    alpha: float = 0.005
    ramp_start: float = 0.05
    ramp_end: float = 0.70
    freeze_at: float = 0.85
    centre_first: float = 4.0
    centre_last: float = -60.0

    def __post_init__(self) -> None:
        _check_choice("control", self.control, CONTROLS)
        _check_choice("forward", self.forward, FORWARDS)
        _check_choice("granularity", self.granularity, GRANULARITIES)
        _check_range("target_reduction", self.target_reduction, 0.0, 1.0)
        _check_range("ramp_start", self.ramp_start, 0.0, 1.0, closed=True)
        _check_range("ramp_end", self.ramp_end, self.ramp_start, 1.0, closed=True)
        for name in ("temperature", "alpha", "logit_scale", "total_steps"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(
                    f"adaptive_dropout_conf.{name} must be positive: {value}"
                )
        if self.freeze_at < self.ramp_end:
            raise ValueError(
                f"adaptive_dropout_conf.freeze_at={self.freeze_at} comes before "
                f"ramp_end={self.ramp_end}: the size would be cut before the ramp "
                f"reaches it; choose freeze_at >= ramp_end"
            )

    @classmethod
    def from_dict(cls, options: Optional[Dict[str, Any]]) -> AdaptiveDropoutConfig:
        """Build from the YAML mapping.

        Raises:
            ValueError: an option is unknown or out of range.
        """
        options = dict(options or {})
        known = [field.name for field in dataclasses.fields(cls)]
        unknown = sorted(set(options) - set(known))
        if unknown:
            raise ValueError(
                f"adaptive_dropout_conf has no option {', '.join(unknown)}; "
                f"known are {', '.join(known)}"
            )
        return cls(**options)

    @property
    def freezes(self) -> bool:
        """Whether the size becomes final before the training ends."""
        return self.control != "schedule" and self.freeze_at < 1.0


def _check_choice(name: str, value: str, choices: tuple) -> None:
    if value not in choices:
        raise ValueError(
            f"adaptive_dropout_conf.{name}={value!r} is not one of {', '.join(choices)}"
        )


def _check_range(
    name: str, value: float, low: float, high: float, closed: bool = False
) -> None:
    inside = low <= value <= high if closed else low < value < high
    if not inside:
        raise ValueError(
            f"adaptive_dropout_conf.{name}={value} is not between {low} and {high}"
        )
