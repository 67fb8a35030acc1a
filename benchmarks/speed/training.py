"""Times training steps: ESPnet's encoder with its dropout, and adaptive dropout."""

from __future__ import annotations

from typing import Any, Callable

import torch

from benchmarks.speed.build import Builder, noise
from benchmarks.speed.encoders import STOCK
from benchmarks.speed.timing import Device, Effort, spread, summary, time_in_turns
from benchmarks.speed.work import Work
from espnet_adaptive_dropout.control.size_control import COUNTS
from espnet_adaptive_dropout.experiments.experiment import build_model

SHARE = 0.2
BATCH, SECONDS, THREADS = 4, 10.0, 1
# As long as a training of LibriSpeech; the step is in the middle of the ramp.
STEPS, PROGRESS = 100_000, 0.375
TOKENS_PER_SECOND = 3
CLIP = 5.0
ROWS = (STOCK, "gated", "gated_all")


def run(work: Work) -> list[str]:
    """Measure rows without results; return the name of the results."""
    store = work.store("train")
    key = work.key(batch=BATCH, seconds=f"{SECONDS:g}", threads=THREADS)
    if store.todo(key, list(ROWS)):
        effort = work.effort(SHARE, 40)
        found = measure(work.builder(work.size), work.device, effort)
        setting = work.describe(batch=BATCH, seconds=SECONDS, threads=THREADS)
        store.add(key, setting, found, {})
    return [key]


class Trainee:
    """A model in training, as ESPnet's trainer drives it.

    Args:
        builder: makes the model.
        row: one of ROWS.
        device: device to train on.
    """

    def __init__(self, builder: Builder, row: str, device: Device):
        self.device = device
        config = builder.config
        if row != STOCK:
            locations = "all" if row == "gated_all" else None
            config = builder.adaptive_config(
                control="feedback",
                locations=locations,
                total_steps=STEPS,
            )
        self.model = build_model(builder.task, config).to(device.name).train()
        # In this position the size control has everything to do.
        if row != STOCK:
            self.model.encoder.control.step.fill_(PROGRESS * STEPS)
        self.batch = {k: v.to(device.name) for k, v in _batch().items()}
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-4)

    def step(self) -> None:
        """Forward, backward, clipping and update."""
        with self.device.precision():
            loss, _, _ = self.model(**self.batch)
        self.optimizer.zero_grad()
        loss.sum().backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        self.optimizer.step()

    def known(self) -> list[torch.Tensor]:
        """Tensors that exist between two steps, without gradients."""
        state = [
            value
            for entry in self.optimizer.state.values()
            for value in entry.values()
            if torch.is_tensor(value)
        ]
        model = self.model
        return [*model.parameters(), *model.buffers(), *self.batch.values(), *state]


def measure(
    builder: Builder, device: Device, effort: Effort
) -> dict[str, dict[str, Any]]:
    """Time, peak memory and, for gated encoders, the time of the size control."""
    torch.set_num_threads(THREADS)
    trainees = {row: Trainee(builder, row, device) for row in ROWS}
    runs: dict[str, Callable] = {row: x.step for row, x in trainees.items()}
    readings = time_in_turns(runs, device.time, effort, "training steps")
    results = {}
    for row, trainee in trainees.items():
        result: dict[str, Any] = summary(readings[row], readings[STOCK])
        trainee.optimizer.zero_grad()
        result["peak_bytes"] = device.peak_memory(trainee.step, trainee.known())
        if row != STOCK:
            seconds = control_seconds(trainee)
            result["control_seconds"] = seconds
            result["control_share"] = {
                clock: seconds[clock]
                / spread(readings_of(readings[STOCK], clock))["median"]
                for clock in seconds
            }
        results[row] = result
    return results


def readings_of(readings: list[dict[str, float]], clock: str) -> list[float]:
    """The readings of one clock."""
    return [reading[clock] for reading in readings]


def control_seconds(trainee: Trainee, repeats: int = 30) -> dict[str, float]:
    """Median time that the size control takes in a step, by clock.

    Clock, ramp, penalty, stats and the update of the logits; and, by the share of the
    steps in which it is due, the count of what a cut would leave.
    """
    encoder, device = trainee.model.encoder, trainee.device
    loss = torch.ones(1, device=device.name, requires_grad=True)

    def steer() -> None:
        encoder.control.begin_step()
        encoder.regularise(loss)
        loss.backward()

    def clocks(run: Callable[[], object], times: int) -> dict[str, float]:
        readings = time_in_turns({"": run}, device.time, Effort(times), "control")[""]
        return {
            clock: spread(readings_of(readings, clock))["median"]
            for clock in readings[0]
        }

    steering = clocks(steer, repeats)
    counting = clocks(encoder.control.actual_reduction, 3)
    due = COUNTS / STEPS
    return {clock: steering[clock] + due * counting[clock] for clock in steering}


def _batch() -> dict[str, torch.Tensor]:
    features, lengths = noise(BATCH, SECONDS)
    tokens = int(TOKENS_PER_SECOND * SECONDS)
    generator = torch.Generator().manual_seed(0)
    text = torch.randint(2, 400, (BATCH, tokens), generator=generator)
    return dict(
        speech=features,
        speech_lengths=lengths,
        text=text,
        text_lengths=torch.full((BATCH,), tokens),
    )
