"""Differences between the forms of an encoder, and their times."""

from __future__ import annotations

import dataclasses
import functools
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Callable, TypeVar

import torch
from tqdm import tqdm

from espnet_adaptive_dropout.experiments.features import Inputs
from espnet_adaptive_dropout.export.onnx import OnnxEncoder

_Result = TypeVar("_Result")
# Inputs -> output (#batch, time, size) and lengths (#batch,).
Form = Callable[[Inputs], tuple[torch.Tensor, torch.Tensor]]


@dataclasses.dataclass(frozen=True)
class Difference:
    """Difference of a form from the encoder in float32, over all real frames.

    Args:
        largest: max |form - encoder|.
        relative: max |form - encoder| / max |encoder| of the worst batch.
        mean: root mean square of the difference, relative to that of the encoder's
            output.
    """

    largest: float
    relative: float
    mean: float


def pytorch_form(encoder: torch.nn.Module) -> Form:
    """An encoder in evaluation mode as a form."""

    @torch.no_grad()
    def run(inputs: Inputs) -> tuple[torch.Tensor, torch.Tensor]:
        output, lengths, _ = inputs.run(encoder)
        return (output[0] if isinstance(output, tuple) else output), lengths

    return run


def onnx_form(encoder: OnnxEncoder) -> Form:
    """An exported encoder as a form."""

    def run(inputs: Inputs) -> tuple[torch.Tensor, torch.Tensor]:
        output, lengths = encoder(inputs.features.numpy(), inputs.lengths.numpy())
        return torch.from_numpy(output), torch.from_numpy(lengths)

    return run


def compare(reference: Form, form: Form, batches: Sequence[Inputs]) -> Difference:
    """Compare a form with the encoder itself.

    Raises:
        ValueError: the form gives outputs of another length.
    """
    largest, relative = [], []
    squares = torch.zeros(2, dtype=torch.float64)
    for inputs in batches:
        expected, lengths = reference(inputs)
        actual, actual_lengths = form(inputs)
        if actual.shape != expected.shape or not torch.equal(actual_lengths, lengths):
            raise ValueError(
                f"the exported encoder gives outputs of other lengths for input of "
                f"{inputs.lengths.tolist()} frames"
            )
        real = torch.arange(expected.size(1))[None, :] < lengths[:, None]
        expected, difference = expected[real], (actual - expected)[real]
        largest.append(difference.abs().max())
        relative.append(largest[-1] / expected.abs().max().clamp(min=1e-20))
        squares += torch.stack([difference, expected]).double().square().sum((1, 2))
    mean = (squares[0] / squares[1].clamp(min=1e-20)).sqrt().item()
    worst, worst_relative = (
        torch.stack(values).max().item() for values in (largest, relative)
    )
    return Difference(worst, worst_relative, mean)


@dataclasses.dataclass(frozen=True)
class Times:
    """Seconds of one run: median, 10th and 90th percentile over the rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of_runs(cls, seconds: Sequence[float]) -> Times:
        """Summarise the seconds of all runs."""
        ordered, last = sorted(seconds), len(seconds) - 1
        low, high = ordered[round(0.1 * last)], ordered[round(0.9 * last)]
        return cls(statistics.median(ordered), low, high)


def measure_in_turns(
    measures: Mapping[str, Callable[[], _Result]], rounds: int
) -> dict[str, list[_Result]]:
    """Results of measurements that take turns, so that all see the same load.

    Args:
        measures: measurements by name.
        rounds: number of results of each, after one run to warm up.
    """
    results: dict[str, list[_Result]] = {name: [] for name in measures}
    for index in tqdm(range(rounds + 1), desc="timing", leave=False):
        for name, measure in measures.items():
            result = measure()
            if index:
                results[name].append(result)
    return results


def time_forms(
    forms: Mapping[str, Form], inputs: Inputs, rounds: int
) -> dict[str, Times]:
    """Times of forms, which take turns.

    Args:
        forms: forms by name.
        inputs: encoder inputs of every run.
        rounds: number of runs of each form.
    """

    def seconds(form: Form) -> float:
        start = time.perf_counter()
        form(inputs)
        return time.perf_counter() - start

    runs = {name: functools.partial(seconds, form) for name, form in forms.items()}
    measured = measure_in_turns(runs, rounds)
    return {name: Times.of_runs(values) for name, values in measured.items()}
