"""Steers the retention probabilities to the size asked for.

The penalty is the paper's uncentred L2, R(beta; t) = alpha sum_d (beta_d - c(t))^2.
Its target c(t) either falls by a plain schedule or is set by feedback on the
expected share of removed parameters. alpha is given in units of the task loss per
gated unit, so that neither it nor the feedback gains depend on the size of the
model, and the integral gain is per training, not per step, so that they do not
depend on its length.
"""

from __future__ import annotations

from typing import Dict, Tuple

import torch

from espnet_adaptive_dropout.config import AdaptiveDropoutConfig
from espnet_adaptive_dropout.gate import SATURATED_LOGIT
from espnet_adaptive_dropout.schedule import falling_centre, size_ramp
from espnet_adaptive_dropout.units import UnitTable, ranked_cut

# c moves by this much for an error of 1 (all parameters); by experiment.
PROPORTIONAL_GAIN = 2000.0
# c moves by this much over a whole training for a constant error of 1.
INTEGRAL_GAIN = 40000.0
# c may rise this far above the initial logit, to call units back.
CENTRE_HEADROOM = 4.0
# Share of the training over which the task loss is averaged to scale alpha.
LOSS_MEMORY = 0.01


class SizeControl(torch.nn.Module):
    """Clock, penalty and freeze of an encoder's gates.

    All state is in float32 buffers: ESPnet's checkpoint averaging sums integers.

    Args:
        config: what to reach, and how.
        table: the encoder's units.

    Raises:
        ValueError: the target is more than the gated locations can give.
    """

    def __init__(self, config: AdaptiveDropoutConfig, table: UnitTable):
        super().__init__()
        self.config = config
        self.table = table
        gated = table.gated()
        share = table.costs[gated] / table.total_parameters
        self.register_buffer("cost_share", share.float(), persistent=False)
        self.register_buffer("step", torch.zeros(()))
        self.register_buffer("frozen", torch.zeros(()))
        self.register_buffer("centre", torch.tensor(float(config.initial_logit)))
        self.register_buffer("integral", torch.tensor(float(config.initial_logit)))
        self.register_buffer("loss_average", torch.zeros(()))
        self._check_bound()

    def _check_bound(self) -> None:
        if self.config.control == "schedule":
            return
        chosen = {group.location for group in self.table.gated_groups()}
        bounds = self.table.bounds(sorted(chosen))
        if self.config.target_reduction > bounds["all"]:
            each = ", ".join(
                f"{name} {bound:.1%}" for name, bound in bounds.items() if name != "all"
            )
            raise ValueError(
                f"adaptive_dropout_conf.target_reduction="
                f"{self.config.target_reduction:.1%} is above what the locations can "
                f"give, {bounds['all']:.1%} of the encoder's parameters ({each}); "
                f"ask for less or add locations"
            )

    @property
    def progress(self) -> float:
        """Share of the training that is over."""
        return float(self.step) / self.config.total_steps

    @property
    def is_final(self) -> bool:
        """Whether the size that evaluation sees is the final one."""
        return not self.config.freezes or bool(self.frozen > 0)

    def begin_step(self) -> None:
        """Advance the clock by one training forward; freeze when it is time.

        Raises:
            RuntimeError: the number of steps or the logit scale is not known.
        """
        for name in ("total_steps", "logit_scale"):
            if getattr(self.config, name) is None:
                raise RuntimeError(
                    f"adaptive_dropout_conf.{name} is not set: start the training "
                    f"with 'python -m espnet_adaptive_dropout -m <espnet2.bin...>', "
                    f"which works it out, or set it in encoder_conf"
                )
        self.step += 1
        due = self.config.freezes and self.progress > self.config.freeze_at
        if due and not self.frozen:
            self.freeze()

    @torch.no_grad()
    def freeze(self) -> None:
        """Rank the units, cut to the target and saturate the logits.

        The order of the logits is kept, for other sizes to be cut later.
        """
        logits = self.table.logits().float().cpu()
        gated = self.table.gated()
        scores = torch.zeros(self.table.units)
        scores[gated] = logits
        keep = ranked_cut(self.table, scores, gated, self.config.target_reduction)
        keep = keep[gated]
        edge = logits[keep].min() if keep.any() else logits.max()
        kept = SATURATED_LOGIT + (logits - edge).clamp(min=0)
        gone = -SATURATED_LOGIT + (logits - edge).clamp(max=0)
        final = torch.where(keep, kept, gone)
        self.table.set_logits(final.to(self.cost_share.device))
        self.frozen.fill_(1.0)

    def penalise(self, task_loss: torch.Tensor) -> Tuple[torch.Tensor, Dict]:
        """The penalty of this step, and what to log.

        Args:
            task_loss: of this step, detached, one element.

        Returns:
            Penalty of shape (1,), differentiable in the logits, and stats: a dict
            of (1,) tensors as ESPnet's reporter wants them.
        """
        logits = self.table.logits()
        with torch.no_grad():
            probabilities = torch.sigmoid(logits)
            expected = (self.cost_share * (1.0 - probabilities)).sum()
            target = self._steer(expected, task_loss)
        alpha = self.config.alpha * self.loss_average / len(logits)
        penalty = alpha * (logits - self.centre).square().sum()
        if self.frozen:
            # Keeps the logits in the graph, which distributed training wants.
            penalty = 0.0 * logits.sum()
        undecided = ((probabilities > 0.1) & (probabilities < 0.9)).float().mean()
        stats = {
            "retention_penalty": penalty.detach(),
            "retention_centre": self.centre.clone(),
            "target_reduction": expected.new_tensor(target),
            "expected_reduction": expected,
            "actual_reduction": expected.new_tensor(self.actual_reduction()),
            "undecided_units": undecided,
        }
        return penalty.reshape(1), {k: v.reshape(1) for k, v in stats.items()}

    @torch.no_grad()
    def actual_reduction(self) -> float:
        """Share of the encoder that would go if it were pruned now (p > 0.5)."""
        keep = torch.ones(self.table.units, dtype=torch.bool)
        keep[self.table.gated()] = self.table.logits().cpu() > 0
        return self.table.reduction(keep)

    def _steer(self, expected: torch.Tensor, task_loss: torch.Tensor) -> float:
        """Set c(t) for this step; return the size it aims at."""
        config, progress = self.config, self.progress
        memory = min(float(self.step), max(1.0, LOSS_MEMORY * config.total_steps))
        change = (task_loss.float().mean() - self.loss_average) / memory
        # ESPnet skips an update whose loss is not finite and trains on; so do we.
        self.loss_average += change.nan_to_num(0.0, 0.0, 0.0)
        if config.control == "schedule":
            centre = falling_centre(
                progress,
                config.centre_first,
                config.centre_last,
                config.ramp_start,
                config.ramp_end,
            )
            self.centre.fill_(centre)
            return float("nan")
        start = torch.sigmoid(torch.tensor(-config.initial_logit)).item()
        target = size_ramp(
            progress,
            start * float(self.cost_share.sum()),
            config.target_reduction,
            config.ramp_start,
            config.ramp_end,
        )
        if not self.frozen and progress >= config.ramp_start:
            error = target - expected
            highest = config.initial_logit + CENTRE_HEADROOM
            self.integral -= INTEGRAL_GAIN / config.total_steps * error
            self.integral.clamp_(max=highest)
            self.centre.copy_(
                (self.integral - PROPORTIONAL_GAIN * error).clamp(max=highest)
            )
        return target
