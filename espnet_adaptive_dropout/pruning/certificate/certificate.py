"""Proof that the pruned encoder computes what the masked encoder computes.

The two are compared in double precision: a sum over fewer terms is rounded differently,
and in single precision that difference is as large as a small mistake would be.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Callable

import torch

from espnet_adaptive_dropout.experiments.features import Inputs
from espnet_adaptive_dropout.experiments.large_tensors import return_small_tensors
from espnet_adaptive_dropout.pruning.certificate.precision import (
    double_precision,
    encoders_in_double_precision,
)

# Largest difference in the model's own precision, as a share of the largest output
ROUNDING = 1e-4
# Longest utterance of random features, in frames
RANDOM_FRAMES = 160
# Frames of real data that are compared at a time, padding included
PART_FRAMES = 1500
# Rows of attention scores computed at a time, to treat a short utterance as a long one
FEW_ROWS = 8


@dataclasses.dataclass
class Certificate:
    """Largest difference between the masked and the compact encoder.

    Args:
        largest_difference: max |masked - compact| over all real frames, in double
            precision.
        tolerance: largest ``largest_difference`` that passes.
        rounding: max |masked - compact| in the model's own precision, of the
            comparison where it is largest relative to the output.
        dtype: name of the model's own precision.
        largest_output: max |masked| of the comparison that gives ``rounding``.
        utterances: number of real utterances compared.
        frames: number of encoder input frames of the real utterances.
        random_utterances: number of utterances of random features compared.
        decoder: comparison of the decoders, if the decoder was cut or replaced.
    """

    largest_difference: float
    tolerance: float
    rounding: float
    dtype: str
    largest_output: float
    utterances: int
    frames: int
    random_utterances: int = 0
    decoder: dict[str, Any] | None = None

    @property
    def holds(self) -> bool:
        """Whether both differences are small enough; NaN never is."""
        exact = self.largest_difference <= self.tolerance
        return exact and is_rounding(self.rounding, self.largest_output)

    def __str__(self) -> str:
        return (
            f"{self.largest_difference:.1e} in double precision, {self.rounding:.1e} "
            f"in {self.dtype}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the certificate as a JSON-serialisable mapping."""
        entries = {**dataclasses.asdict(self), "holds": self.holds}
        if self.decoder is None:
            del entries["decoder"]
        return entries


def is_rounding(difference: float, largest_output: float) -> bool:
    """Whether a difference in the model's own precision is small; NaN never is.

    Args:
        difference: largest difference of the outputs.
        largest_output: largest output.
    """
    return difference <= ROUNDING * largest_output


@torch.no_grad()
def certify(
    masked: torch.nn.Module,
    compact: torch.nn.Module,
    inputs: Inputs,
    tolerance: float,
) -> Certificate:
    """Compare two encoders in evaluation mode.

    They are compared on real data as a CPU evaluates it, and on random features in
    every way in which a compact encoder computes: on a CPU with all frames at once;
    with few frames at a time, as for a long utterance; and with gradients, as on a GPU
    or in training. Units that are silent on real data act on random features.

    Args:
        masked: adaptive-dropout encoder at full width whose gates are set to the plan.
        compact: pruned encoder.
        inputs: real inputs of both encoders.
        tolerance: largest absolute difference that passes, in double precision.
    """
    random, parts = random_inputs(inputs), _in_parts(inputs)

    def compare(real: Iterable[Inputs], random: Inputs) -> list[tuple[float, float]]:
        return [
            *(one for x in real for one in _compare(masked, compact, x, (_at_once,))),
            *_compare(masked, compact, random, (_at_once, _few_rows, _with_gradients)),
        ]

    with contextlib.ExitStack() as stack:
        stack.enter_context(encoders_in_double_precision((masked, compact)))
        stack.enter_context(double_precision(inputs.modules()))
        found = compare([part.double() for part in parts], random.double())
    exact = max((difference for difference, _ in found), key=_badness)
    found = compare(parts, random)
    rounding, largest_output = max(found, key=lambda x: _badness(x[0] / (x[1] or 1.0)))
    return Certificate(
        exact,
        tolerance,
        rounding,
        str(next(masked.parameters()).dtype).replace("torch.", ""),
        largest_output,
        len(inputs.lengths),
        int(inputs.lengths.sum()),
        len(random.lengths),
    )


def _badness(difference: float) -> float:
    """Sort key of a difference: nothing is worse than NaN."""
    return float("inf") if math.isnan(difference) else difference


def random_inputs(inputs: Inputs) -> Inputs:
    """Return random features in the shape of the first frames of real ones.

    Their scale grows from a tenth to ten times that of the real features, and every
    utterance is half as long as the one before, down to an eighth.
    """
    features, lengths = inputs.features[:, :RANDOM_FRAMES], inputs.lengths
    generator = torch.Generator().manual_seed(0)
    if features.is_floating_point():
        noise = torch.randn(features.shape, generator=generator).to(features)
        growth = torch.logspace(-1, 1, features.size(1)).to(features)
        noise *= growth[None, :, None] * inputs.features.std().clamp(min=1e-3)
    else:
        most = int(features.max()) + 1
        noise = torch.randint(most, features.shape, generator=generator)
    halves = RANDOM_FRAMES // 2 ** torch.arange(len(lengths)).clamp(max=3)
    longest = halves.clamp(max=features.size(1)).to(lengths)
    lengths = torch.minimum(lengths, longest)
    return Inputs(noise[:, : int(lengths.max())], lengths, inputs.options)


def _in_parts(inputs: Inputs) -> list[Inputs]:
    """Divide a batch, so that its memory does not grow with the utterances.

    Its utterances stay together where they are short, and padding with them.
    """
    features, lengths = inputs.features, inputs.lengths
    if any(map(torch.is_tensor, inputs.options.values())):
        return [inputs]
    size = max(1, PART_FRAMES // features.size(1))
    return [
        dataclasses.replace(
            inputs,
            features=features[start : start + size, : int(longest)],
            lengths=lengths[start : start + size],
        )
        for start in range(0, len(lengths), size)
        for longest in [lengths[start : start + size].max()]
    ]


Way = Callable[[torch.nn.Module], contextlib.AbstractContextManager]


@contextlib.contextmanager
def _at_once(encoder: torch.nn.Module) -> Iterator[None]:
    """Compute as a CPU evaluates an utterance of a few seconds."""
    yield


@contextlib.contextmanager
def _few_rows(encoder: torch.nn.Module) -> Iterator[None]:
    """Compute as a CPU evaluates a long utterance, with few frames at a time."""
    modules = [module for module in encoder.modules() if getattr(module, "rows", None)]
    rows = [module.rows for module in modules]
    for module in modules:
        module.rows = FEW_ROWS
    try:
        yield
    finally:
        for module, before in zip(modules, rows):
            module.rows = before


@contextlib.contextmanager
def _with_gradients(encoder: torch.nn.Module) -> Iterator[None]:
    """Compute as on a GPU and in training, where all heads are computed together.

    What a backward pass would read is not kept: there is none.
    """
    hooks = torch.autograd.graph.saved_tensors_hooks(lambda _: None, lambda _: None)
    with torch.enable_grad(), hooks:
        yield


def _compare(
    masked: torch.nn.Module,
    compact: torch.nn.Module,
    inputs: Inputs,
    ways: Sequence[Way],
) -> Iterator[tuple[float, float]]:
    """Yield the largest difference and the largest masked output, for each way.

    Padding is left out.
    """
    return_small_tensors()
    expected, expected_lengths = stack_output(masked, inputs)
    real = torch.arange(expected.size(1))[None, :] < expected_lengths[:, None]
    for way in ways:
        with way(compact):
            actual, actual_lengths = stack_output(compact, inputs)
        difference = float("inf")
        if torch.equal(expected_lengths, actual_lengths):
            difference = (expected - actual)[real].abs().max().item()
        yield difference, expected[real].abs().max().item()


def stack_output(
    stack: torch.nn.Module, inputs: Inputs
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the output of an encoder or a decoder, detached, and its lengths.

    The output is (#batch, frames, dim), or (#batch, tokens, vocabulary).
    """
    if torch.is_grad_enabled() and inputs.features.is_floating_point():
        features = inputs.features.clone().requires_grad_()
        inputs = dataclasses.replace(inputs, features=features)
    outputs, lengths, *_ = inputs.run(stack)
    if isinstance(outputs, tuple):  # with intermediate CTC outputs
        outputs = outputs[0]
    return outputs.detach(), lengths
