"""Encoder inputs on which the forms of an encoder are compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from espnet_adaptive_dropout.experiments.features import (
    Inputs,
    data_inputs,
    noise_inputs,
)

# Frames of the longest utterance that is put together from shorter ones.
LONGEST = 3000
# No input layer needs more frames.
_SHORTEST = 40
# Lengths of the utterances of noise, where there is no data.
_NOISE_SECONDS = (1.3, 2.9, 5.2)


def comparison_batches(
    task: type,
    model: torch.nn.Module,
    config: dict[str, Any],
    utterances: int,
    data: Sequence[str] | None = None,
) -> tuple[list[Inputs], str]:
    """Batches of several sizes and lengths, and the name of their source.

    Args:
        task: ESPnet task class.
        model: ESPnet model of the task.
        config: config of the experiment.
        utterances: number of utterances to read.
        data: "path,name,type" triplets; None takes the config's validation data, or
            noise where that cannot be read.

    Raises:
        ValueError: ``data`` is given and cannot be read.
    """
    try:
        inputs = data_inputs(task, model, config, utterances, data)
        return vary(inputs), f"{len(inputs.lengths)} utterances of data"
    except ValueError:
        if data:
            raise
    noise = [noise_inputs(model, seconds) for seconds in _NOISE_SECONDS]
    together = _padded([inputs.features[0] for inputs in noise], noise[0].options)
    return vary(together), "noise (the config's validation data cannot be read)"


def vary(inputs: Inputs) -> list[Inputs]:
    """Utterances one by one and padded, cut short, and put together to a long one.

    Args:
        inputs: one batch of utterances.
    """
    utterances = [f[:n] for f, n in zip(inputs.features, inputs.lengths.tolist())]
    utterances.sort(key=len)
    shortest, longest = utterances[0], utterances[-1]
    cut = shortest[: max(len(shortest) // 3, _SHORTEST)]
    joined = torch.cat(utterances)
    joined = torch.cat([joined] * (1 + LONGEST // len(joined)))[:LONGEST]
    batches = [[shortest], [longest], [cut], utterances, [longest, cut, joined]]
    return [_padded(batch, inputs.options) for batch in batches]


def _padded(utterances: list[torch.Tensor], options: dict[str, Any]) -> Inputs:
    lengths = torch.tensor([len(utterance) for utterance in utterances])
    return Inputs(pad_sequence(utterances, batch_first=True), lengths, options)
