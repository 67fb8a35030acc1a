"""The logits' own optimizer.

The logits are parameters that require no gradient: every optimizer, weight decay,
gradient clipping and DistributedDataParallel leaves such parameters exactly as they
are, and checkpoints hold them like any weight. They are updated here, at the end of
the backward pass, at a rate that depends on the length of the training alone.
"""

from __future__ import annotations

import torch

from espnet_adaptive_dropout.control.config import AdaptiveDropoutConfig
from espnet_adaptive_dropout.units.table import UnitTable


class LogitOptimizer(torch.nn.Module):
    """Moves the logits of the gated units by Adam's rule.

    All state is in float32 buffers that are equal in all processes.

    Args:
        config: options of adaptive dropout.
        table: unit table of the encoder.
    """

    # A logit can travel this far while the size falls: from +4 to well below -4 against
    # the gradient of the task.
    TRAVEL = 13.0
    # Adam's usual constants.
    BETAS = (0.9, 0.999)
    EPSILON = 1e-8
    # So many steps in a row may fail before their backward pass has ended.
    PATIENCE = 50

    def __init__(self, config: AdaptiveDropoutConfig, table: UnitTable):
        super().__init__()
        self.config = config
        self.table = table
        units = int(table.gated().sum())
        # Adam's moments, and the sum of the gradients since the last update.
        for name in ("mean", "square", "gradient"):
            self.register_buffer(name, torch.zeros(units))
        self.register_buffer("passes", torch.zeros(()))
        self.register_buffer("updates", torch.zeros(()))
        self._leaves: list[torch.Tensor] = []
        self._missed = 0

    def begin(self) -> None:
        """Collect the gradient of the logits in the coming forward pass.

        Raises:
            RuntimeError: Many steps have passed without a backward pass of their loss.
        """
        self._missed = self._missed + 1 if self._leaves else 0
        if self._missed > self.PATIENCE:
            raise RuntimeError(
                f"the logits of adaptive dropout have not moved for {self._missed} "
                f"training steps: call backward() on the loss that the model returns, "
                f"not on a detached or recomputed one"
            )
        gates = self.table.gates.values()
        self._leaves = [gate.require_gradient() for gate in gates]

    def follow(
        self, loss: torch.Tensor, penalty_gradient: torch.Tensor, step: int
    ) -> None:
        """Update the logits when the backward pass of ``loss`` ends.

        The trainer may multiply the loss (by a loss scale, by 1 / accum_grad, by the
        number of utterances); the gradient is divided by the mean of these factors.

        Args:
            loss: loss of this step, one element, differentiable.
            penalty_gradient: gradient of the penalty, (units,), equal in all processes.
            step: number of this step, from 1.
        """
        if not self._leaves or not loss.requires_grad:
            return

        def at_start(gradient: torch.Tensor) -> None:
            factor = gradient.detach().float().mean()
            # As DistributedDataParallel does to wait for its own reductions.
            torch.autograd.Variable._execution_engine.queue_callback(
                lambda: self._at_end(factor, penalty_gradient, step)
            )

        loss.register_hook(at_start)

    @torch.no_grad()
    def _at_end(
        self, factor: torch.Tensor, penalty_gradient: torch.Tensor, step: int
    ) -> None:
        leaves, self._leaves = self._leaves, []
        for gate in self.table.gates.values():
            gate.leaf = None
        if not leaves:  # a second backward pass through the same graph
            return
        parts = [x.new_zeros(len(x)) if x.grad is None else x.grad for x in leaves]
        sums = torch.cat([*parts, factor.reshape(1)])
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(sums)
        gradient = sums[:-1] / sums[-1] + penalty_gradient
        # ESPnet leaves out updates whose gradient is not finite, and so do we.
        finite = gradient.isfinite().all()
        self.gradient += torch.where(finite, gradient, 0.0)
        self.passes += finite
        if step % (self.config.accum_grad or 1) == 0:
            self._update(step)

    def _update(self, step: int) -> None:
        valid = (self.passes > 0).float()
        gradient = self.gradient / self.passes.clamp(min=1.0)
        self.updates += valid
        for moment, value, beta in zip(
            (self.mean, self.square), (gradient, gradient.square()), self.BETAS
        ):
            moment += valid * (1.0 - beta) * (value - moment)
        mean, square = (
            moment / (1.0 - beta**self.updates).clamp(min=1e-12)
            for moment, beta in zip((self.mean, self.square), self.BETAS)
        )
        change = valid * self.rate(step) * mean / (square.sqrt() + self.EPSILON)
        self.table.set_logits(self.table.logits() - change)
        self.gradient.zero_()
        self.passes.zero_()

    def rate(self, step: int) -> float:
        """Most that a logit moves in the update at a step, about.

        Falls with the square root of the time, as ESPnet's usual schedulers do.
        """
        config = self.config
        first, last = config.gates_begin, config.ramp_end
        if last <= first:
            last = min(max(config.freeze_at, first), 1.0)
        progress = step / config.known_steps
        travelled = 0.5 * progress**-0.5 / max(last**0.5 - first**0.5, 1e-3)
        return self.TRAVEL * travelled * (config.accum_grad or 1) / config.known_steps
