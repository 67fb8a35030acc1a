"""Inputs of encoder and decoder for single utterances, to calibrate a model on."""

from __future__ import annotations

import argparse
import functools
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from tqdm import tqdm

from espnet_adaptive_dropout import compat
from espnet_adaptive_dropout.experiments.data import (
    Batch,
    Triplet,
    choose_names,
    labelled_batches,
    triplets,
)
from espnet_adaptive_dropout.experiments.encoder_entry import (
    main_decoder,
    main_encoder,
)
from espnet_adaptive_dropout.experiments.experiment import first_line
from espnet_adaptive_dropout.experiments.features import (
    UNREADABLE,
    Inputs,
    audio_source,
    capture_encoder_inputs,
    data_names,
)
from espnet_adaptive_dropout.experiments.first_call import first_call
from espnet_adaptive_dropout.experiments.on_disk import OnDisk


def calibration_inputs(
    task: type[Any],
    model: torch.nn.Module,
    config: dict[str, Any],
    utterances: int,
    data: Sequence[str] | None = None,
) -> Sequence[Inputs]:
    """Return the encoder inputs of utterances chosen at random, one at a time.

    They are kept on disk. Utterances that are too short for the encoder are left out.

    Args:
        task: ESPnet task class.
        model: model of the experiment, in evaluation mode.
        config: training config of the experiment.
        utterances: number of utterances; all, if there are fewer.
        data: "path,name,type" triplets; None takes the config's validation data.

    Raises:
        ValueError: the encoder reads no audio, or the audio cannot be read or is not
            finite.
    """
    if data_names(model) != ["speech"]:
        raise ValueError(
            f"the encoder reads {' and '.join(data_names(model)) or 'no data'}, not "
            f"audio alone"
        )
    source = audio_source(config, data)
    found = OnDisk()
    for batch in _shown(_utterances(task, config, utterances, source), utterances):
        inputs = _encoder_inputs(model, batch, source[0][0])
        if inputs is not None:
            found.append(inputs)
    return found


def teacher_forced_inputs(
    task: type[Any],
    model: torch.nn.Module,
    config: dict[str, Any],
    utterances: int,
    data: Sequence[str] | None = None,
) -> Sequence[Inputs]:
    """Return what the decoder reads in training, one utterance at a time.

    That is the encoder output, in place of features, and the tokens of the text. The
    utterances are chosen as :func:`calibration_inputs` does, and kept on disk.

    Args:
        task: ESPnet task class.
        model: model of the experiment, in evaluation mode.
        config: training config of the experiment.
        utterances: number of utterances; all, if there are fewer.
        data: "path,name,type" triplets of speech and text; None takes the config's
            validation data.

    Raises:
        ValueError: the data lack a text, cannot be read, or are not finite.
    """
    source = _labelled_source(config, data)
    batches = labelled_batches(task, config, source, 1, utterances)
    found = OnDisk()
    for names, batch in _shown(batches, utterances):
        if _encoder_inputs(model, batch, source[0][0]) is None:
            continue
        run = functools.partial(model, utt_id=names, **batch)
        (memory, lengths, *tokens), options = first_call(main_decoder(model), run)
        options.update(zip(("ys_in_pad", "ys_in_lens"), tokens))
        found.append(Inputs(memory, lengths, options))
    return found


def _labelled_source(
    config: dict[str, Any], data: Sequence[str] | None
) -> list[Triplet]:
    """Return the triplets of the speech and its texts; raise a ValueError without."""
    source = triplets(data, config, "valid", "--data")
    if not any(name.startswith("text") for _, name, _ in source):
        raise ValueError(
            f"the decoder needs transcripts, and there are none beside "
            f"{source[0][0]}; add --data PATH,text,text"
        )
    return source


def _shown(batches: Iterable[Any], number: int) -> Iterable[Any]:
    return tqdm(batches, "audio", number, unit="utt", leave=False)


def _encoder_inputs(model: torch.nn.Module, batch: Batch, path: str) -> Inputs | None:
    """Return the encoder inputs of an utterance; None where it is too short.

    Raises:
        ValueError: the features are not finite.
    """
    try:
        inputs = capture_encoder_inputs(model, batch)
    except RuntimeError:  # less than one frame
        return None
    if not torch.isfinite(inputs.features).all():
        raise ValueError(
            f"{path}: the features of its audio are not all finite; pass --data "
            f"PATH,NAME,TYPE of sound audio"
        )
    embed = getattr(main_encoder(model), "embed", None)
    return None if compat.check_short_utt(embed, inputs.features.size(1))[0] else inputs


def _utterances(
    task: type[Any], config: dict[str, Any], utterances: int, source: list[Triplet]
) -> Iterator[Batch]:
    """Read utterances chosen at random, in the order of the data."""
    path, name, _ = source[0]
    args = argparse.Namespace(**config)
    with tempfile.NamedTemporaryFile("w", suffix=".scp", encoding="utf-8") as keys:
        try:
            keys.writelines(choose_names(path, utterances, seed=0))
            keys.flush()
            for _, batch in task.build_streaming_iterator(
                source,
                preprocess_fn=None,
                dtype="float32",
                collate_fn=task.build_collate_fn(args, train=False),
                key_file=keys.name,
                batch_size=1,
                num_workers=0,
                allow_variable_data_keys=True,
                inference=True,
            ):
                yield {
                    "speech": batch[name],
                    "speech_lengths": batch[f"{name}_lengths"],
                }
        except UNREADABLE as error:
            raise ValueError(
                f"{path}: cannot read audio to calibrate on ({first_line(error)}); "
                f"pass --data PATH,NAME,TYPE of readable data"
            ) from None
