"""The clock, the penalty and the freeze of the gates of an encoder or a decoder.

The expected size follows a ramp, to which the penalty of ``steering.py`` moves it;
then the units are ranked, cut to exactly the target and frozen.
"""

from __future__ import annotations

import torch

from espnet_adaptive_dropout.control import family
from espnet_adaptive_dropout.control.bound import check_bound
from espnet_adaptive_dropout.control.config import AdaptiveDropoutConfig
from espnet_adaptive_dropout.control.history import RetentionHistory
from espnet_adaptive_dropout.control.logit_optimizer import LogitOptimizer
from espnet_adaptive_dropout.control.schedule import size_ramp
from espnet_adaptive_dropout.control.steering import STEERING
from espnet_adaptive_dropout.units.cost import Cost, SavingByPool
from espnet_adaptive_dropout.units.ranked_cut import even_scores, ranked_cut
from espnet_adaptive_dropout.units.table import UnitTable

# Share of the training over which the task loss is averaged to scale the penalty.
LOSS_MEMORY = 0.01
# Number of times in a training that the size of a cut at p = 0.5 is counted.
COUNTS = 500


class SizeControl(torch.nn.Module):
    """Steers the gates of an encoder to a size.

    All state is in float32 buffers: ESPnet's checkpoint averaging sums integers.

    Args:
        config: options of adaptive dropout.
        table: unit table of the encoder.
        cost: cost of the units, of which the size is a share.

    Raises:
        ValueError: a size asked for is more than the gated locations can give.
    """

    def __init__(self, config: AdaptiveDropoutConfig, table: UnitTable, cost: Cost):
        super().__init__()
        self.config = config
        self.table = table
        self.cost = cost
        self.sizes = family.all_sizes(config.target_reduction, config.family or [])
        self.gated_cost = cost.of_units(table.gated())
        self.register_buffer("step", torch.zeros(()))
        self.register_buffer("frozen", torch.zeros(()))
        self.register_buffer("loss_average", torch.zeros(()))
        pools = table.pools(config.budget)[table.gated()].unique(return_inverse=True)[1]
        self.saving = SavingByPool(self.gated_cost, pools, torch.float32)
        bounds = self.saving(torch.ones(len(pools)))
        self.steering = STEERING[config.control](config, pools, bounds / cost.total)
        self.optimizer = LogitOptimizer(config, table)
        start = torch.full((len(pools),), float(config.initial_logit))
        self.removed_at_start = self.expected_reductions(start).sum().item()
        self.history = None
        if config.history_dir and config.total_steps:
            kinds = [group.stack for group in table.gated_groups()]
            self.history = RetentionHistory(
                config.history_dir, config.total_steps, kind=kinds[0]
            )
        self._counted: float | None = None
        self._values: dict[str, tuple[torch.Tensor, int, float]] = {}
        if config.control != "schedule":
            check_bound(config, self.sizes, table, cost)

    def expected_reductions(self, logits: torch.Tensor) -> torch.Tensor:
        """Share of the encoder expected to go, by pool, (pools,), differentiable.

        Args:
            logits: logits of the gated units, (units,).
        """
        return self.saving(torch.sigmoid(-logits)) / self.cost.total

    def _value(self, name: str) -> float:
        """Value of a buffer, copied from the GPU only after it was changed."""
        buffer = getattr(self, name)
        last, version, value = self._values.get(name, (None, 0, 0.0))
        if last is not buffer or version != buffer._version:
            value = float(buffer)
            self._values[name] = (buffer, buffer._version, value)
        return value

    @property
    def steps(self) -> int:
        """Training steps so far."""
        return int(self._value("step"))

    @property
    def progress(self) -> float:
        """Share of the training that is over."""
        return self.steps / self.config.known_steps

    @property
    def is_frozen(self) -> bool:
        """Whether the units have been ranked and cut."""
        return self._value("frozen") > 0

    @property
    def is_final(self) -> bool:
        """Whether the size that evaluation sees is the final one."""
        return not self.config.freezes or self.is_frozen

    def begin_step(self) -> None:
        """Advance the clock by one training forward; freeze when it is time.

        Raises:
            RuntimeError: the number of steps is not known.
        """
        steps = self.steps + 1
        progress = steps / self.config.known_steps
        self.step += 1
        self._values["step"] = (self.step, self.step._version, float(steps))
        due = self.config.freezes and progress > self.config.freeze_at
        if due and not self.is_frozen:
            self.freeze()
        phase = self.phase
        for gate in self.table.gates.values():
            gate.phase = phase
        if len(self.sizes) > 1:
            self._choose_size()
        if phase == "sampled":
            self.optimizer.begin()

    @property
    def phase(self) -> str:
        """What the gates do at this step, see ``gate.PHASES``."""
        if self.is_frozen:
            return "decided"
        begun = self.progress > self.config.gates_begin
        return "sampled" if begun else "open"

    @torch.no_grad()
    def freeze(self) -> None:
        """Rank the units, cut to the target and saturate the logits.

        The order of the logits is kept, for other sizes to be cut later.
        """
        logits = self.table.logits().float().cpu()
        keeps = self._cuts(logits)
        chosen = self.sizes.index(float(self.config.target_reduction))
        final = family.banded_logits(logits, keeps, chosen)
        self.table.set_logits(final.to(self.step.device))
        self.frozen.fill_(1.0)
        self._counted = None

    def _cuts(self, logits: torch.Tensor) -> list[torch.Tensor]:
        """Kept gated units of every size, each a subset of the one before."""
        gated = self.table.gated()
        scores = torch.zeros(self.table.num_units)
        scores[gated] = logits
        pools = self.table.pools(self.config.budget)
        scores = even_scores(scores, gated, pools, self.cost)
        keeps = []
        for size in self.sizes:
            keep = ranked_cut(
                self.table, scores, gated, size, self.cost, self.config.multiple_of
            )
            scores[~keep] = -float("inf")
            keeps.append(keep[gated])
        return keeps

    @torch.no_grad()
    def _choose_size(self) -> None:
        """Shift the logits to the size that this step trains."""
        index = family.draw(self.steps, self.sizes)
        chosen = self.sizes.index(float(self.config.target_reduction))
        if self.is_frozen:
            shift = -family.BAND * (index - chosen)
        else:
            # Each size has a ramp of its own: the units are let go gradually.
            size = self._ramp(self.sizes[index])
            shift = family.shift_to_size(
                self.table.logits(),
                lambda logits: self.expected_reductions(logits).sum(),
                size,
            )
        for gate in self.table.gates.values():
            gate.shift = shift

    def _ramp(self, reduction: float) -> float:
        """Share of the encoder to go at this step so that it will be ``reduction``."""
        config = self.config
        return size_ramp(
            self.progress,
            self.removed_at_start,
            reduction,
            config.ramp_start,
            config.ramp_end,
        )

    def penalise(
        self, loss: torch.Tensor, task_loss: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Let the backward pass of this step's loss move the logits.

        The penalty acts on the logits alone and is no part of the loss.

        Args:
            loss: loss of this step, one element, differentiable.
            task_loss: loss that the penalty is relative to, detached, one element.

        Returns:
            Values to log: a dict of (1,) tensors for ESPnet's reporter.
        """
        logits = self.table.logits().requires_grad_()
        probabilities = torch.sigmoid(logits)
        bounds = self.steering.bounds
        of_pools = self.expected_reductions(logits)
        expected = of_pools.sum()
        target = self._ramp(self.config.target_reduction)
        self._average(task_loss)
        if self.phase == "sampled":
            error = target * bounds / bounds.sum() - of_pools.detach()
            self.steering.update(error, self.progress)
            penalty = self.loss_average * self.steering.penalty(logits, of_pools)
            (gradient,) = torch.autograd.grad(penalty, logits, retain_graph=True)
            self.optimizer.follow(loss, gradient, self.steps)
        else:
            penalty = logits.new_zeros(())
        if self.history is not None:
            self.history.record(self.steps, self.table)
        undecided = ((probabilities > 0.1) & (probabilities < 0.9)).float().mean()
        stats = {
            "retention_penalty": penalty,
            "target_reduction": expected.new_tensor(target),
            "expected_reduction": expected,
            "actual_reduction": expected.new_tensor(self._count()),
            "undecided_units": undecided,
            **self.steering.stats(),
        }
        return {name: value.detach().reshape(1) for name, value in stats.items()}

    def _average(self, task_loss: torch.Tensor) -> None:
        memory = min(self.steps, max(1.0, LOSS_MEMORY * self.config.known_steps))
        change = (task_loss.float().mean() - self.loss_average) / memory
        # ESPnet skips an update whose loss is not finite and trains on; so do we.
        self.loss_average += change.nan_to_num(0.0, 0.0, 0.0)

    def _count(self) -> float:
        """``actual_reduction``, counted in some steps only because it is slow."""
        every = max(1, self.config.known_steps // COUNTS)
        if self._counted is None or (not self.is_frozen and self.steps % every == 0):
            self._counted = self.actual_reduction()
        return self._counted

    @torch.no_grad()
    def actual_reduction(self) -> float:
        """Share of the encoder that would go if it were pruned now (p > 0.5)."""
        return self.table.reduction(self.table.decided(), self.cost)
