"""Repairs what was cut of a trained model: the encoder, then the decoder.

The encoder is repaired on audio, the decoder on the tokens of transcripts and on the
output of the repaired encoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable

import torch

from espnet_adaptive_dropout.experiments.calibration import (
    calibration_inputs,
    teacher_forced_inputs,
)
from espnet_adaptive_dropout.experiments.encoder_entry import (
    main_decoder,
    main_encoder,
)
from espnet_adaptive_dropout.experiments.features import Inputs
from espnet_adaptive_dropout.pruning.options import PruneOptions
from espnet_adaptive_dropout.pruning.repair.repair import HELD_OUT, repair
from espnet_adaptive_dropout.pruning.repair.report import Repair
from espnet_adaptive_dropout.pruning.trained import Trained, set_masks


def repair_trained(
    trained: Trained,
    keep: torch.Tensor,
    compact: torch.nn.Module,
    options: PruneOptions,
) -> dict[str, Repair]:
    """Repair a compact model towards the model as trained.

    What is not cut stays as it is. So does a cut to a larger size than the trained
    one, which has lost nothing.

    Args:
        trained: experiment that was cut; its masks are set anew.
        keep: units that stayed, without unused ones, bool (units,).
        compact: the model after the cut; its encoder and decoder are changed in place.
        options: options of pruning.

    Returns:
        The result for "encoder" and "decoder", as far as they were cut.

    Raises:
        ValueError: there is no audio to repair on, or for a decoder no text.
    """
    own = trained.own_keep()
    set_masks(trained.table, own if (own & ~keep).any() else keep)
    found = {}
    try:
        if trained.part("encoder") is not None:
            found["encoder"] = _repair_encoder(trained, compact, options)
        if trained.part("decoder") is not None:
            found["decoder"] = _repair_decoder(trained, compact, options)
    except ValueError as error:
        raise ValueError(f"--repair true: {error}") from None
    return found


def _repair_encoder(
    trained: Trained, compact: torch.nn.Module, options: PruneOptions
) -> Repair:
    if getattr(main_encoder(compact), "ctc_trim", False):
        raise ValueError(
            "encoder_conf.ctc_trim: true removes frames, so that outputs cannot be "
            "compared; leave the repair out"
        )
    model = trained.model
    inputs = _read(calibration_inputs, trained, model, options)
    return repair(main_encoder(model), main_encoder(compact), inputs)


def _repair_decoder(
    trained: Trained, compact: torch.nn.Module, options: PruneOptions
) -> Repair:
    """Repair the decoder on the output of the encoder that it will read."""
    model, changed = trained.model, None
    inputs = _read(teacher_forced_inputs, trained, model, options)
    if trained.part("encoder") is not None:
        changed = _read(teacher_forced_inputs, trained, compact, options)
    decoders: list[Any] = [main_decoder(model), main_decoder(compact)]
    return repair(*decoders, inputs, changed)


def _read(
    read: Callable[..., Sequence[Inputs]],
    trained: Trained,
    model: torch.nn.Module,
    options: PruneOptions,
) -> Sequence[Inputs]:
    """Read the utterances to fit on and those to hold out, at least two."""
    wanted = options.repair_utterances
    number = wanted + -(-wanted // (HELD_OUT - 1))
    found = read(trained.task, model, trained.config, number, options.data)
    if len(found) < 2:
        raise ValueError(
            f"2 utterances that are long enough are needed, and the data have "
            f"{len(found)}; pass --data PATH,NAME,TYPE of more audio"
        )
    return found
