"""Encoder inputs of single utterances of audio, to calibrate a model on."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from tqdm import tqdm

from espnet_adaptive_dropout import compat
from espnet_adaptive_dropout.experiments.data import Batch, Triplet, choose_names
from espnet_adaptive_dropout.experiments.encoder_entry import main_encoder
from espnet_adaptive_dropout.experiments.experiment import first_line
from espnet_adaptive_dropout.experiments.features import (
    UNREADABLE,
    Inputs,
    audio_source,
    capture_encoder_inputs,
    data_names,
)
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
    limit = getattr(main_encoder(model), "embed", None)
    found = OnDisk()
    for batch in tqdm(
        _utterances(task, config, utterances, source),
        "audio",
        utterances,
        unit="utt",
        leave=False,
    ):
        try:
            inputs = capture_encoder_inputs(model, batch)
        except RuntimeError:  # less than one frame
            continue
        if not torch.isfinite(inputs.features).all():
            raise ValueError(
                f"{source[0][0]}: the features of its audio are not all finite; pass "
                f"--data PATH,NAME,TYPE of sound audio"
            )
        if not compat.check_short_utt(limit, inputs.features.size(1))[0]:
            found.append(inputs)
    return found


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
