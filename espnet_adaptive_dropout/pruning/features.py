"""Real encoder inputs of an experiment: audio through its own frontend."""

from __future__ import annotations

import argparse
import itertools
from typing import Any, Dict, List, Optional, Sequence, Tuple

import torch

Inputs = Tuple[torch.Tensor, torch.Tensor]


class _Captured(Exception):
    """Raised to stop a forward pass once the encoder's inputs are known."""


def capture_encoder_inputs(
    model: torch.nn.Module, speech: torch.Tensor, lengths: torch.Tensor
) -> Inputs:
    """What ``model.encode(speech, lengths)`` hands to its encoder.

    Args:
        model: an ESPnet model in evaluation mode.
        speech: (#batch, samples) waveform or (#batch, frames, dim) features.
        lengths: (#batch,).

    Returns:
        Features (#batch, frames, dim) and lengths (#batch,).
    """
    captured: List[Inputs] = []

    def stop(module, args, kwargs):
        captured.append((args[0], args[1]))
        raise _Captured

    handle = model.encoder.register_forward_pre_hook(stop, with_kwargs=True)
    try:
        with torch.no_grad():
            model.encode(speech, lengths)
    except _Captured:
        pass
    finally:
        handle.remove()
    return captured[0]


def noise_inputs(model: torch.nn.Module, seconds: float, rate: int = 16000) -> Inputs:
    """Encoder inputs of one utterance of white noise, ``seconds`` long."""
    samples = int(seconds * rate)
    generator = torch.Generator().manual_seed(0)
    speech = torch.randn(1, samples, generator=generator)
    return capture_encoder_inputs(model, speech, torch.tensor([samples]))


def data_inputs(
    task: type,
    model: torch.nn.Module,
    config: Dict[str, Any],
    utterances: int,
    data: Optional[Sequence[str]] = None,
) -> Inputs:
    """Encoder inputs of the first utterances of a data set, one padded batch.

    Args:
        task: ESPnet task class.
        model: its model.
        config: of the experiment.
        utterances: how many to read.
        data: "path,name,type" triplets; None takes the config's validation data.

    Raises:
        ValueError: the data cannot be read.
    """
    triplets = [tuple(item.split(",")) for item in data or []]
    triplets = triplets or config.get("valid_data_path_and_name_and_type") or []
    source = [tuple(item) for item in triplets if not item[1].startswith("text")][:1]
    if not source or len(source[0]) != 3:
        raise ValueError(
            "no audio for the certificate: pass --data PATH,NAME,TYPE, for example "
            "--data dump/raw/dev/wav.scp,speech,sound"
        )
    path, name, _ = source[0]
    args = argparse.Namespace(**config)
    try:
        batches = task.build_streaming_iterator(
            source,
            preprocess_fn=None,
            dtype="float32",
            collate_fn=task.build_collate_fn(args, train=False),
            batch_size=utterances,
            num_workers=0,
            allow_variable_data_keys=True,
            inference=True,
        )
        _, batch = next(itertools.chain(batches))
    except (OSError, StopIteration, RuntimeError, AssertionError) as error:
        raise ValueError(
            f"{path}: cannot read audio for the certificate ({error}); pass --data "
            f"PATH,NAME,TYPE of readable data"
        ) from None
    return capture_encoder_inputs(model, batch[name], batch[f"{name}_lengths"])
