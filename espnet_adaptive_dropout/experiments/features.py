"""Encoder inputs of an experiment: its data, or noise, through its own frontend."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
from collections.abc import Iterator, Sequence
from typing import Any, Callable

import torch

from espnet_adaptive_dropout import compat
from espnet_adaptive_dropout.experiments.data import (
    Batch,
    Triplet,
    labelled_batches,
    triplets,
)
from espnet_adaptive_dropout.experiments.encoder_entry import main_encoder, recogniser
from espnet_adaptive_dropout.experiments.experiment import first_line
from espnet_adaptive_dropout.experiments.first_call import first_call

# Text that stands for a second of noise, where the encoder reads text (task mt)
TOKENS_PER_SECOND = 10
# Arguments of a model's ``encode`` that do not come from the data
_NO_DATA = ("bottleneck_feats", "num_spk")
# Errors that ESPnet raises where it cannot read a file
UNREADABLE = (
    OSError,
    UnicodeDecodeError,
    RuntimeError,
    AssertionError,
    StopIteration,
)


@dataclasses.dataclass(frozen=True)
class Inputs:
    """Arguments of the forward of an encoder, or of a decoder.

    They unpack to features and lengths.

    Args:
        features: (#batch, frames, dim); of a decoder the encoder output.
        lengths: (#batch,).
        options: the other arguments, for example intermediate CTC's ``ctc``, or the
            tokens that a decoder reads.
    """

    features: torch.Tensor
    lengths: torch.Tensor
    options: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __iter__(self) -> Iterator[torch.Tensor]:
        return iter((self.features, self.lengths))

    def run(self, stack: torch.nn.Module) -> Any:
        """Return the output of an encoder or a decoder."""
        return stack(self.features, self.lengths, **self.options)

    def double(self) -> Inputs:
        """Return the inputs in double precision."""
        options = {name: _double(value) for name, value in self.options.items()}
        return Inputs(_double(self.features), self.lengths, options)

    def modules(self) -> list[torch.nn.Module]:
        """Return the modules among the options."""
        values = self.options.values()
        return [value for value in values if isinstance(value, torch.nn.Module)]


def _double(value: Any) -> Any:
    if torch.is_tensor(value) and value.is_floating_point():
        return value.double()
    return value


def capture_encoder_inputs(model: torch.nn.Module, batch: Batch) -> Inputs:
    """Return the inputs that the model's ``encode`` passes to its encoder.

    Args:
        model: an ESPnet model in evaluation mode.
        batch: arguments of ``encode`` by name; others are ignored.
    """
    encode = _encode_of(model)
    arguments = {name: batch.get(name) for name in _required(encode)}
    if "num_spk" in arguments:
        arguments["num_spk"] = model.enh_model.num_spk or 2
    args, options = first_call(main_encoder(model), lambda: encode(**arguments))
    return Inputs(args[0], args[1], options)


def _encode_of(model: torch.nn.Module) -> Callable:
    """Return the method of the model that runs its encoder."""
    if recogniser(model) is not model and hasattr(recogniser(model), "attractor"):
        return model.encode_diar
    return model.encode


def _required(encode: Callable) -> list[str]:
    parameters = inspect.signature(encode).parameters.values()
    return [p.name for p in parameters if p.default is p.empty]


def data_names(model: torch.nn.Module) -> list[str]:
    """Return the names of the data that the encoder reads: "speech" or "src_text"."""
    return [
        name
        for name in _required(_encode_of(model))
        if not name.endswith("_lengths") and name not in _NO_DATA
    ]


def noise_inputs(model: torch.nn.Module, seconds: float, rate: int = 16000) -> Inputs:
    """Return the encoder inputs of one utterance of white noise, ``seconds`` long.

    Where the encoder reads text, ten tokens stand for a second.
    """
    batch: Batch = {}
    generator = torch.Generator().manual_seed(0)
    for name in data_names(model):
        if name == "speech":
            batch[name] = torch.randn(1, int(seconds * rate), generator=generator)
        else:
            tokens = int(seconds * TOKENS_PER_SECOND) if name == "src_text" else 2
            batch[name] = torch.ones(1, tokens, dtype=torch.long)
        batch[f"{name}_lengths"] = torch.tensor([batch[name].size(1)])
    return capture_encoder_inputs(model, batch)


def data_inputs(
    task: type[Any],
    model: torch.nn.Module,
    config: dict[str, Any],
    utterances: int,
    data: Sequence[str] | None = None,
) -> Inputs:
    """Return the encoder inputs of a data set's first utterances, one padded batch.

    Args:
        task: ESPnet task class.
        model: model of the experiment.
        config: training config of the experiment.
        utterances: number of utterances to read.
        data: "path,name,type" triplets; None takes the config's validation data.

    Raises:
        ValueError: the data cannot be read.
    """
    if data_names(model) == ["speech"]:
        source = audio_source(config, data)
        batch = _audio_batch(task, config, utterances, source)
    else:
        source = triplets(data, config, "valid", "--data")
        batches = labelled_batches(task, config, source, utterances)
        first = next(batches, None)
        if first is None:
            raise ValueError(f"{source[0][0]}: no data for the certificate in it")
        _, batch = first
    try:
        inputs = capture_encoder_inputs(model, _longest_first(batch))
    except RuntimeError as error:  # less than one frame
        raise ValueError(
            f"{source[0][0]}: too short for the model ({first_line(error)}); pass "
            f"--data PATH,NAME,TYPE of longer utterances"
        ) from None
    _check_features(inputs, main_encoder(model), source[0][0])
    return inputs


def _check_features(inputs: Inputs, encoder: torch.nn.Module, path: str) -> None:
    """Refuse features that are too short or not finite, with a ValueError."""
    frames = inputs.features.size(1)
    embed = getattr(encoder, "embed", None)  # not every encoder has an input layer
    is_short, limit = compat.check_short_utt(embed, frames)
    if is_short:
        raise ValueError(
            f"{path}: {frames} frames are too short for the encoder, which needs more "
            f"than {limit}; pass --data PATH,NAME,TYPE of longer utterances"
        )
    if not torch.isfinite(inputs.features).all():
        raise ValueError(
            f"{path}: the features of its audio are not all finite; pass --data "
            f"PATH,NAME,TYPE of sound audio"
        )


def _longest_first(batch: Batch) -> Batch:
    """Sort a batch by length, as recurrent enhancement networks need it."""
    lengths = next(v for k, v in batch.items() if k.endswith("_lengths"))
    order = lengths.argsort(descending=True, stable=True)
    return {k: v[order] if torch.is_tensor(v) else v for k, v in batch.items()}


def audio_source(config: dict[str, Any], data: Sequence[str] | None) -> list[Triplet]:
    """Return the triplet of the audio; reading the text could need more files."""
    found = triplets(data, config, "valid", "--data")
    source = [item for item in found if not item[1].startswith("text")][:1]
    if not source:
        raise ValueError(
            "no audio for the certificate: pass --data PATH,NAME,TYPE, for example "
            "--data dump/raw/dev/wav.scp,speech,sound"
        )
    return source


def _audio_batch(
    task: type[Any], config: dict[str, Any], utterances: int, source: list[Triplet]
) -> Batch:
    """Read the first utterances of the audio."""
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
        _, batch = next(iter(batches))
    except UNREADABLE as error:
        raise ValueError(
            f"{path}: cannot read audio for the certificate ({first_line(error)}); "
            f"pass --data PATH,NAME,TYPE of readable data"
        ) from None
    return {"speech": batch[name], "speech_lengths": batch[f"{name}_lengths"]}
