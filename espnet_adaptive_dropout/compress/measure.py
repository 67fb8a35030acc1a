"""What the cut brought and what it cost: times and error rates, before and after."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from espnet_adaptive_dropout.compress.labels import Labels
from espnet_adaptive_dropout.compress.prepare import spoken
from espnet_adaptive_dropout.compress.recognise import Recognition
from espnet_adaptive_dropout.experiments.encoder_entry import main_encoder
from espnet_adaptive_dropout.experiments.experiment import open_model
from espnet_adaptive_dropout.experiments.features import noise_inputs
from espnet_adaptive_dropout.experiments.sizes import MAC_SECONDS
from espnet_adaptive_dropout.export.compare import pytorch_form, time_forms
from espnet_adaptive_dropout.pruning.sweep.errors import error_rates

# Runs of each encoder, of which the median counts
ROUNDS = 7


@dataclasses.dataclass(frozen=True)
class Files:
    """The files of a model.

    Args:
        config_file: its config.yaml.
        model_file: its checkpoint.
    """

    config_file: Path
    model_file: Path


def encoder_seconds(task: str, before: Files, after: Files, rate: int) -> list[float]:
    """Return the times that two encoders need for 10 s of audio on this CPU.

    They take turns, so that both see the same load.

    Args:
        task: name of a module of ``espnet2.tasks``.
        before: the original model.
        after: the compressed model.
        rate: sampling rate of both in Hz.
    """
    forms = {}
    for name, files in (("before", before), ("after", after)):
        _, model = open_model(task, files.config_file, files.model_file)
        inputs = noise_inputs(model, MAC_SECONDS, rate)
        forms[name] = pytorch_form(main_encoder(model))
        del model  # but for its encoder
    times = time_forms(forms, inputs, ROUNDS)
    return [times[name].median for name in ("before", "after")]


def comparison(
    labels: Labels,
    before: Recognition,
    after: Recognition,
    transcripts: dict[str, str] | None,
) -> dict[str, Any]:
    """Compare what two models recognise.

    Args:
        labels: texts of the models.
        before: recognition by the original model.
        after: recognition of the same utterances by the compressed model.
        transcripts: what was said; None if it is not known.

    Returns:
        ``difference``: error rates of the compressed model's output against the
        original model's; ``same``: share of the utterances in which both are equal;
        ``before`` and ``after``: error rates against the transcripts, if there are
        any. Rates are as ``error_rates`` gives them, None if there are no words.
    """
    old, new = spoken(before, labels), spoken(after, labels)
    equal = sum(old[name] == new[name] for name in old)
    found: dict[str, Any] = {
        "same": equal / max(len(old), 1),
        "difference": _rates(old, new),
    }
    if transcripts is not None:
        found["before"] = _rates(transcripts, old)
        found["after"] = _rates(transcripts, new)
    return found


def _rates(
    references: dict[str, str], hypotheses: dict[str, str]
) -> dict[str, float] | None:
    if not any(text.split() for text in references.values()):
        return None
    return error_rates(references, hypotheses)
