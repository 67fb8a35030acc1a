"""Times forward passes in every setting, and training steps."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Sequence
from typing import Any, Callable

import torch

from benchmarks.speed.build import Builder, noise
from benchmarks.speed.choices import STOCK, WIDTH_ROWS, Row, Setting, parse_row
from benchmarks.speed.timing import (
    Device,
    Effort,
    Reading,
    medians,
    summary,
    time_in_turns,
)
from benchmarks.speed.work import Forms, Run, Work
from espnet_adaptive_dropout.control.size_control import COUNTS
from espnet_adaptive_dropout.experiments.experiment import build_model
from espnet_adaptive_dropout.pruning.trained import set_masks
from espnet_adaptive_dropout.stacks.training_cut import cut_training

LOGGER = logging.getLogger("espnet_adaptive_dropout.benchmarks")
# Shares of the time for all parts
FORWARD_SHARE, TRAINING_SHARE = 0.55, 0.2
# Seconds before a run, for the threads of the previous one to go to sleep
REST = 0.02
BATCH, SECONDS, THREADS = 4, 10.0, 1
# As long as a training of LibriSpeech; the step is in the middle of the ramp.
STEPS, PROGRESS = 100_000, 0.25
TOKENS_PER_SECOND = 3
CLIP = 5.0
# The last two: adaptive dropout after the freeze, cut in training
TRAINED = (STOCK, "gated", "gated_all", "paper_54", "all_54")


def time_forward(work: Work) -> list[str]:
    """Measure the settings of ``work``; return the names of their results."""
    store = work.store("forward")
    todo = {}
    for setting in work.settings:
        names = [row.name for row in work.rows]
        if setting.size != work.size:
            names = [name for name in names if name in WIDTH_ROWS]
        missing = store.todo(setting.key, names)
        if missing:
            todo[setting] = [parse_row(n) for n in dict.fromkeys([STOCK, *missing])]
    seconds = FORWARD_SHARE * work.seconds
    for setting, effort in efforts(list(todo), seconds, work.rounds):
        forms = work.forms(setting.size)
        found, missing = measure_rows(forms, setting, todo[setting], effort)
        store.add(setting.key, dataclasses.asdict(setting), found, missing)
    return [setting.key for setting in work.settings]


def efforts(
    settings: Sequence[Setting], seconds: float, rounds: int
) -> list[tuple[Setting, Effort]]:
    """Share the time between the settings, long utterances more.

    Args:
        settings: that are to be measured.
        seconds: time for all settings together.
        rounds: number of rounds of each; 0: as many as there is time for, 5 to 40.
    """
    if rounds:
        return [(setting, Effort(rounds)) for setting in settings]
    total = sum(setting.weight for setting in settings)
    return [(s, Effort(40, seconds * s.weight / total)) for s in settings]


def measure_rows(
    forms: Forms, setting: Setting, rows: Sequence[Row], effort: Effort
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Time rows, of which the stock encoder must be one.

    Returns:
        For each row its times, their ratios to those of the stock encoder in the same
        round, its sizes and peak memory; and why rows could not be measured.
    """
    inputs = noise(setting.batch, setting.seconds)
    torch.set_num_threads(setting.threads)
    runs, missing = {}, {}
    for row in rows:
        try:
            runs[row.name] = forms.run(row, inputs, setting.threads)
        except (ValueError, ImportError) as error:
            missing[row.name] = str(error)
            LOGGER.warning("%s is left out: %s", row.name, error)

    def clock(run: Run) -> Reading:
        if setting.threads > 1:
            time.sleep(REST)
        return forms.device.time(run)

    readings = time_in_turns(runs, clock, effort, str(setting))
    results = {}
    for row in rows:
        if row.name in readings:
            result: dict[str, Any] = summary(readings[row.name], readings[STOCK])
            result.update(_sizes(forms, row, setting))
            results[row.name] = result
    return results, missing


def _sizes(forms: Forms, row: Row, setting: Setting) -> dict[str, Any]:
    parameters, macs = forms.builder.counts(row, setting.seconds)
    sizes = {"parameters": parameters, "macs": macs * setting.batch}
    if not row.form:
        sizes["activation_bytes"] = activation_bytes(forms, row, setting)
    return sizes


def activation_bytes(forms: Forms, row: Row, setting: Setting) -> int:
    """Peak memory of encoding beside weights and inputs."""
    encoder, device = forms.encoder(row), forms.device
    inputs = tuple(x.to(device.name) for x in noise(setting.batch, setting.seconds))

    @torch.no_grad()
    def run() -> None:
        with device.precision():
            encoder(*inputs)

    known = (*encoder.parameters(), *encoder.buffers(), *inputs)
    return device.peak_memory(run, known)


def time_training(work: Work) -> list[str]:
    """Measure rows without results; return the name of the results."""
    store = work.store("train")
    key = work.key(batch=BATCH, seconds=f"{SECONDS:g}", threads=THREADS)
    if store.todo(key, list(TRAINED)):
        effort = work.effort(TRAINING_SHARE, 40)
        found = measure_steps(work.builder(work.size), work.device, effort)
        setting = work.describe(batch=BATCH, seconds=SECONDS, threads=THREADS)
        store.add(key, setting, found, {})
    return [key]


class Trainee:
    """A model in training, as ESPnet's trainer drives it.

    Args:
        builder: makes the model.
        row: one of TRAINED.
        device: device to train on.
    """

    def __init__(self, builder: Builder, row: str, device: Device):
        self.device = device
        config, parsed = builder.config, parse_row(row)
        if row != STOCK:
            everything = row == "gated_all" or parsed.choice == "all"
            config = builder.adaptive_config(
                control="feedback",
                locations="all" if everything else None,
                total_steps=STEPS,
            )
        self.model = build_model(builder.task, config).to(device.name).train()
        # In this position the size control has everything to do.
        if row != STOCK:
            self.model.encoder.control.step.fill_(PROGRESS * STEPS)
        self.batch = {k: v.to(device.name) for k, v in _batch().items()}
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-4)
        if parsed.choice is not None:
            encoder = self.model.encoder
            set_masks(encoder.units, builder.keep(parsed.choice, parsed.target))
            encoder.control.frozen.fill_(1.0)
            cut_training(encoder, [self.optimizer])

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


def measure_steps(
    builder: Builder, device: Device, effort: Effort
) -> dict[str, dict[str, Any]]:
    """Time, peak memory and, for gated encoders, the time of the size control."""
    torch.set_num_threads(THREADS)
    trainees = {row: Trainee(builder, row, device) for row in TRAINED}
    runs: dict[str, Callable] = {row: x.step for row, x in trainees.items()}
    readings = time_in_turns(runs, device.time, effort, "training steps")
    whole = medians(readings[STOCK])
    results = {}
    for row, trainee in trainees.items():
        result: dict[str, Any] = summary(readings[row], readings[STOCK])
        trainee.optimizer.zero_grad()
        result["peak_bytes"] = device.peak_memory(trainee.step, trainee.known())
        if row != STOCK:
            seconds = control_seconds(trainee)
            result["control_seconds"] = seconds
            result["control_share"] = {c: seconds[c] / whole[c] for c in seconds}
        results[row] = result
    return results


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

    steering, counting = (
        medians(time_in_turns({"": run}, device.time, Effort(times), "control")[""])
        for run, times in ((steer, repeats), (encoder.control.actual_reduction, 3))
    )
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
