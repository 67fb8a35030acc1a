"""Costs of an encoder by part: parameters, MACs, time and memory."""

from __future__ import annotations

import dataclasses
import functools
import statistics
import time
from collections.abc import Iterator, Mapping
from typing import Any, Callable

import torch

from espnet_adaptive_dropout.experiments.checkpoint import is_gate_weight
from espnet_adaptive_dropout.experiments.features import Inputs
from espnet_adaptive_dropout.export.compare import Times, measure_in_turns
from espnet_adaptive_dropout.modules.mac_counter import operator_counter
from espnet_adaptive_dropout.report.memory import activation_bytes, weight_bytes

# Parts of an encoder; REST is what belongs to none of the others.
REST = "norms and rest"
PARTS = ("feed-forward", "attention", "convolution", "subsampling", REST)
# The module of a Conformer block (or of the encoder) -> part.
_MODULES = {
    "feed_forward": "feed-forward",
    "feed_forward_macaron": "feed-forward",
    "self_attn": "attention",
    "conv_module": "convolution",
    "embed": "subsampling",
}


@dataclasses.dataclass
class Timing:
    """Seconds of a forward pass, median over the rounds.

    Args:
        parts: seconds of each part.
        total: seconds of the whole encoder.
        low: 10th percentile of the whole encoder over the rounds.
        high: 90th percentile.
        rounds: number of runs.
        threads: number of PyTorch threads.
    """

    parts: dict[str, float]
    total: float
    low: float
    high: float
    rounds: int
    threads: int


@dataclasses.dataclass
class Costs:
    """Costs of one encoder for one utterance.

    Args:
        parameters: number of parameters of each part.
        macs: multiply-accumulates of each part.
        memory: bytes of "weights" and "activations" (peak; see ``memory``).
        timing: times of a forward pass, None if not measured.
    """

    parameters: dict[str, int]
    macs: dict[str, int]
    memory: dict[str, int]
    timing: Timing | None = None


def measure_costs(
    encoders: Mapping[str, torch.nn.Module], inputs: Inputs, rounds: int = 0
) -> dict[str, Costs]:
    """Measure several encoders on the same input.

    Args:
        encoders: encoders in evaluation mode, by name.
        inputs: encoder inputs of one utterance.
        rounds: rounds of the time measurement; 0: none.
    """
    costs = {
        name: Costs(
            parameters_by_part(encoder),
            macs_by_part(encoder, inputs),
            {
                "weights": weight_bytes(encoder),
                "activations": activation_bytes(encoder, inputs),
            },
        )
        for name, encoder in encoders.items()
    }
    if rounds:
        for name, timing in time_in_turns(encoders, inputs, rounds).items():
            costs[name].timing = timing
    return costs


def parameters_by_part(encoder: torch.nn.Module) -> dict[str, int]:
    """Number of parameters of each part; gates are not counted."""
    counts = dict.fromkeys(PARTS, 0)
    for name, parameter in encoder.named_parameters():
        if not is_gate_weight(name):
            counts[_part_of(name)] += parameter.numel()
    return counts


def macs_by_part(encoder: torch.nn.Module, inputs: Inputs) -> dict[str, int]:
    """Multiply-accumulates of each part in one forward pass."""
    with operator_counter(encoder) as counter:
        parts, _ = _meter(encoder, inputs, counter.get_total_flops)
    return {name: int(flops) // 2 for name, flops in parts.items()}


def time_in_turns(
    encoders: Mapping[str, torch.nn.Module], inputs: Inputs, rounds: int
) -> dict[str, Timing]:
    """Times of the forward passes of encoders, which take turns.

    Args:
        encoders: encoders in evaluation mode, by name.
        inputs: encoder inputs of the forward pass.
        rounds: number of runs of each encoder.
    """
    runs = {
        name: functools.partial(_meter, encoder, inputs, time.perf_counter)
        for name, encoder in encoders.items()
    }
    measured = measure_in_turns(runs, rounds)
    return {name: _summarise(results) for name, results in measured.items()}


def _summarise(runs: list[tuple[dict[str, float], float]]) -> Timing:
    times = Times.of_runs([total for _, total in runs])
    return Timing(
        {part: statistics.median(parts[part] for parts, _ in runs) for part in PARTS},
        times.median,
        times.low,
        times.high,
        len(runs),
        torch.get_num_threads(),
    )


def _part_of(name: str) -> str:
    """The part that a parameter or module of an encoder belongs to."""
    path = name.split(".")
    key = path[2] if path[0] == "encoders" and len(path) > 2 else path[0]
    return _MODULES.get(key, REST)


def _part_modules(encoder: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Module]]:
    for owner in (encoder, *encoder.encoders):
        for name, module in owner.named_children():
            if name in _MODULES:
                yield _MODULES[name], module


@torch.no_grad()
def _meter(
    encoder: torch.nn.Module, inputs: Inputs, read: Callable[[], float]
) -> tuple[dict[str, float], float]:
    """Run the encoder: the increase of ``read`` in each part, and altogether."""
    parts = dict.fromkeys(PARTS, 0.0)
    handles = []

    def add(part: str, sign: float, *_: Any) -> None:
        parts[part] += sign * read()

    for part, module in _part_modules(encoder):
        before, after = (functools.partial(add, part, sign) for sign in (-1.0, 1.0))
        handles.append(module.register_forward_pre_hook(before))
        handles.append(module.register_forward_hook(after))
    try:
        start = read()
        inputs.run(encoder)
        total = read() - start
    finally:
        for handle in handles:
            handle.remove()
    parts[REST] = total - sum(parts.values())
    return parts, total
