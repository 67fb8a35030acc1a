"""How far the forms of an encoder are apart, and how long each takes."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Callable

import torch
from tqdm import tqdm

from espnet_adaptive_dropout.experiments.features import Inputs
from espnet_adaptive_dropout.export.onnx import OnnxEncoder

# Inputs -> output (#batch, time, size) and lengths (#batch,).
Form = Callable[[Inputs], tuple[torch.Tensor, torch.Tensor]]


@dataclasses.dataclass(frozen=True)
class Difference:
    """Of a form from the encoder in float32, over all real frames.

    Args:
        largest: max |form - encoder|.
        relative: the same by max |encoder|, of the worst batch.
        mean: root mean square of the difference by that of the encoder's output.
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
        ValueError: it gives outputs of another length.
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
    """Seconds of one run of a form.

    Args:
        median: over the rounds.
        low: 10th percentile.
        high: 90th percentile.
    """

    median: float
    low: float
    high: float


def time_forms(
    forms: Mapping[str, Form], inputs: Inputs, rounds: int
) -> dict[str, Times]:
    """Time forms that take turns, so that all see the same load.

    Args:
        forms: by name.
        inputs: encoder inputs of every run.
        rounds: how often each is run, after one run to warm up.
    """
    runs: dict[str, list[float]] = {name: [] for name in forms}
    for index in tqdm(range(rounds + 1), desc="timing", leave=False):
        for name, form in forms.items():
            start = time.perf_counter()
            form(inputs)
            if index:
                runs[name].append(time.perf_counter() - start)
    return {name: _summarise(sorted(values)) for name, values in runs.items()}


def _summarise(seconds: list[float]) -> Times:
    last = len(seconds) - 1
    return Times(
        statistics.median(seconds),
        seconds[round(0.1 * last)],
        seconds[round(0.9 * last)],
    )
