"""Penalties on the logits that move the expected size along its ramp.

The penalty is given in units of the task loss and, where it is a sum over units, per
gated unit; errors of size are relative to the most that the gated locations can give;
and integral gains are per training, not per step. The gains below therefore hold for
any model, loss, set of locations and length of training.
"""

from __future__ import annotations

import torch

from espnet_adaptive_dropout.control.config import AdaptiveDropoutConfig
from espnet_adaptive_dropout.control.schedule import falling_centre

# With a larger error, relative to what can go, the logits already move as fast as they
# can: an integral that grew with it would make them overshoot.
LARGEST_INTEGRATED = 0.02


class Steering(torch.nn.Module):
    """Base class of the penalties.

    Units compete within pools (the encoder, or its blocks or modules), each of which
    is steered on its own.

    Args:
        config: options of adaptive dropout.
        pools: number of the pool of every gated unit, (units,).
        bounds: largest share of the encoder that every pool can give, (pools,).
    """

    def __init__(
        self, config: AdaptiveDropoutConfig, pools: torch.Tensor, bounds: torch.Tensor
    ):
        super().__init__()
        self.config = config
        self.register_buffer("pools", pools, persistent=False)
        self.register_buffer("bounds", bounds, persistent=False)

    def update(self, error: torch.Tensor, progress: float) -> None:
        """Adjust the penalty to the error of this step.

        Args:
            error: target less expected share of the encoder to go, of every pool,
                (pools,).
            progress: share of the training that is over.
        """
        raise NotImplementedError

    def penalty(self, logits: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
        """The penalty, () in units of the task loss.

        Args:
            logits: logits of the gated units, (units,), differentiable.
            expected: share of the encoder expected to go, of every pool, (pools,),
                differentiable.
        """
        raise NotImplementedError

    def stats(self) -> dict[str, torch.Tensor]:
        """Values to log, () each."""
        raise NotImplementedError


class UncentredL2(Steering):
    """The paper's penalty alpha * sum_d (beta_d - c)^2; c is a buffer."""

    def __init__(
        self, config: AdaptiveDropoutConfig, pools: torch.Tensor, bounds: torch.Tensor
    ):
        super().__init__(config, pools, bounds)
        first = torch.full_like(bounds, float(config.initial_logit))
        self.register_buffer("centre", first)

    def penalty(self, logits: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
        return self.config.alpha * (logits - self.centre[self.pools]).square().mean()

    def stats(self) -> dict[str, torch.Tensor]:
        return {"retention_centre": self.centre.mean()}


def _integrated(error: torch.Tensor, integral: torch.Tensor) -> torch.Tensor:
    """The errors, but 0 for large ones that would make the integral still larger."""
    is_small = error.abs() <= LARGEST_INTEGRATED
    return error * (is_small | (error * integral < 0.0))


class PlainSchedule(UncentredL2):
    """c falls in a straight line, whatever the size."""

    def update(self, error: torch.Tensor, progress: float) -> None:
        config = self.config
        self.centre.fill_(
            falling_centre(
                progress,
                config.centre_first,
                config.centre_last,
                config.ramp_start,
                config.ramp_end,
            )
        )


class Feedback(UncentredL2):
    """c is set by proportional-integral feedback on the expected size."""

    # alpha * c moves by this much for an error of everything that can go; by
    # experiment.
    PROPORTIONAL = 100.0
    # And by this much over a whole training for such an error throughout.
    INTEGRAL = 2000.0
    # c may rise this far above the initial logit, to call units back.
    HEADROOM = 4.0

    def __init__(
        self, config: AdaptiveDropoutConfig, pools: torch.Tensor, bounds: torch.Tensor
    ):
        super().__init__(config, pools, bounds)
        self.register_buffer("integral", self.centre.clone())

    def update(self, error: torch.Tensor, progress: float) -> None:
        error = error / self.bounds
        highest = self.config.initial_logit + self.HEADROOM
        gain = self.INTEGRAL / self.config.alpha / self.config.known_steps
        fallen = self.config.initial_logit - self.integral
        self.integral -= gain * _integrated(error, fallen)
        self.integral.clamp_(max=highest)
        centre = self.integral - self.PROPORTIONAL / self.config.alpha * error
        self.centre.copy_(centre.clamp(max=highest))


class Lagrangian(Steering):
    """A multiplier on the expected size, in place of the L2 penalty.

    The augmented Lagrangian of "expected size = ramp": the multiplier is the
    integral of the error (gradient ascent) and the quadratic term adds the error
    itself. Units are pushed in proportion to what they cost.
    """

    # The multiplier that an error of everything that can go gives; by experiment.
    PROPORTIONAL = 3000.0
    # What such an error throughout adds to it over a whole training.
    INTEGRAL = 20000.0

    def __init__(
        self, config: AdaptiveDropoutConfig, pools: torch.Tensor, bounds: torch.Tensor
    ):
        super().__init__(config, pools, bounds)
        self.register_buffer("integral", torch.zeros_like(bounds))
        self.register_buffer("multiplier", torch.zeros_like(bounds))

    def update(self, error: torch.Tensor, progress: float) -> None:
        error = error / self.bounds
        gain = self.INTEGRAL / self.config.known_steps
        self.integral += gain * _integrated(error, self.integral)
        self.multiplier.copy_(self.integral + self.PROPORTIONAL * error)

    def penalty(self, logits: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
        return -(self.multiplier * expected).sum() / self.bounds.sum()

    def stats(self) -> dict[str, torch.Tensor]:
        return {"retention_multiplier": self.multiplier.mean()}


STEERING = {
    "feedback": Feedback,
    "lagrangian": Lagrangian,
    "schedule": PlainSchedule,
}
