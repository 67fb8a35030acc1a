"""Draws every figure for which the experiment has data."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Callable

from matplotlib.figure import Figure

from espnet_adaptive_dropout.report.cost_bars import cost_bars, form_bars
from espnet_adaptive_dropout.report.curves import shown_errors, size_error_curves
from espnet_adaptive_dropout.report.gather import Findings
from espnet_adaptive_dropout.report.style import save
from espnet_adaptive_dropout.report.training import (
    retention_histograms,
    size_name,
    size_over_training,
)
from espnet_adaptive_dropout.report.widths import (
    LAYER_LABEL,
    head_heat_map,
    kept_heat_map,
)

# Names of the figures' files, without suffix.
WIDTHS, HEADS, COSTS, FORMS = "widths", "heads", "costs", "forms"
DECODER_WIDTHS = "widths_decoder"
HISTOGRAMS, TRAINING = "retention_histograms", "size_over_training"
DECODER_HISTOGRAMS = "retention_histograms_decoder"
DECODER_TRAINING = "size_over_training_decoder"
# Sizes with their word error rates, or, where none was decoded, validation scores.
SWEEP_WER, SWEEP_VALIDATION = "size_wer", "size_validation"


def draw_figures(
    findings: Findings, directory: Path, formats: Sequence[str]
) -> list[str]:
    """Write the figures into ``directory``.

    Returns:
        Names of the figures that were drawn, of those above.
    """
    drawn = []
    for name, draw in _figures(findings):
        save(draw(), directory / name, formats)
        drawn.append(name)
    return drawn


def _figures(findings: Findings) -> list[tuple[str, Callable[[], Figure]]]:
    figures: dict[str, Callable[[], Figure]] = {}
    train, valid = findings.scalars["train"], findings.scalars["valid"]
    if findings.pruning is not None:
        kept = findings.pruning["kept"]
        layers = findings.pruning.get("kept_decoder", [])
        if kept:
            figures[WIDTHS] = lambda: kept_heat_map(kept)
        if layers:
            figures[DECODER_WIDTHS] = lambda: kept_heat_map(layers, LAYER_LABEL)
        if any(len(row["heads"]) > 1 for row in kept):
            figures[HEADS] = lambda: head_heat_map(kept)
    figures[COSTS] = lambda: cost_bars(findings.costs)
    if findings.forms:
        figures[FORMS] = lambda: form_bars(findings.forms)
    for course, histograms, training in (
        (findings.encoder, HISTOGRAMS, TRAINING),
        (findings.decoder, DECODER_HISTOGRAMS, DECODER_TRAINING),
    ):
        if course.history:
            figures[histograms] = functools.partial(
                retention_histograms, course.history, course.marks
            )
        if size_name("expected_reduction", course.of) in train:
            figures[training] = functools.partial(
                size_over_training, train, valid, course.marks, course.cost, course.of
            )
    labels = shown_errors(findings.curves)
    if labels:
        decoded = labels[0].startswith("WER ")
        figures[SWEEP_WER if decoded else SWEEP_VALIDATION] = lambda: size_error_curves(
            findings.curves
        )
    return list(figures.items())
