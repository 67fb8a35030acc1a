"""The exported forms of an encoder beside the encoder at full width."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from espnet_adaptive_dropout.experiments.encoder_entry import main_encoder
from espnet_adaptive_dropout.experiments.experiment import build_model
from espnet_adaptive_dropout.experiments.features import noise_inputs
from espnet_adaptive_dropout.experiments.markdown import table_lines
from espnet_adaptive_dropout.experiments.sizes import MAC_SECONDS, parameters
from espnet_adaptive_dropout.export.compare import (
    Form,
    Times,
    onnx_form,
    pytorch_form,
    time_forms,
)
from espnet_adaptive_dropout.export.export import (
    ONNX,
    ONNX_INT8,
    PYTORCH,
    PYTORCH_INT8,
    REPORT,
    saved_bytes,
)
from espnet_adaptive_dropout.export.int8 import quantize
from espnet_adaptive_dropout.export.onnx import OnnxEncoder
from espnet_adaptive_dropout.report.before_after import (
    BEFORE,
    stock_experiment_config,
)


@dataclasses.dataclass
class ExportedForm:
    """One way to run an encoder.

    Args:
        title: title in tables and plots.
        bytes: size of the file, or of the weights in a checkpoint.
        difference: difference from the encoder in float32, as in export.json; None
            for PyTorch in float32.
        seconds: times for an utterance of ten seconds; None if not timed.
    """

    title: str
    bytes: int
    difference: dict[str, float] | None = None
    seconds: Times | None = None


def read_report(
    path: Path, option: str, maker: str, keys: Sequence[str]
) -> dict[str, Any]:
    """Read the JSON report of a command.

    Args:
        path: report file.
        option: command line option that named the directory, for the message.
        maker: command that writes such reports, for the message.
        keys: keys that such a report has.

    Raises:
        ValueError: the file is missing or is something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(
            f"{path}: {error.strerror}; {option} takes what {maker} makes"
        ) from None
    except json.JSONDecodeError:
        raise ValueError(f"{path}: this is not JSON") from None
    if not isinstance(content, dict) or not set(keys) <= set(content):
        raise ValueError(f"{path}: not the report of {maker}: it has no '{keys[0]}'")
    return content


def exported_forms(
    task: type,
    config: dict[str, Any],
    pruned_config: dict[str, Any] | None,
    directory: Path,
    rounds: int,
    missing: list[str],
) -> dict[str, ExportedForm]:
    """The encoder at full width and all forms of what was exported.

    Args:
        task: ESPnet task class.
        config: config of the full-width experiment.
        pruned_config: config of the compact experiment that was exported; None: the
            full-width one was.
        directory: directory that ``bin.export`` wrote.
        rounds: rounds of the time measurement, in which all take turns; 0: none.
        missing: receives a line if the forms cannot be timed.

    Raises:
        ValueError: the export cannot be read or is of another encoder.
    """
    content = read_report(
        directory / REPORT, "--export", "bin.export", ("forms", "encoder_params")
    )
    model = build_model(task, stock_experiment_config(task, config))
    before = encoder = main_encoder(model)
    if pruned_config is not None:
        encoder = main_encoder(build_model(task, pruned_config))
    theirs, ours = content["encoder_params"], parameters(encoder)
    if theirs != ours:
        raise ValueError(
            f"{directory}: exported from an encoder of {theirs} parameters; this one "
            f"has {ours}"
        )
    rows = _rows(content, before, is_pruned=pruned_config is not None)
    if not rounds:
        return rows
    try:
        forms = _forms(content, before, encoder, directory)
    except ValueError as error:
        missing.append(f"No times of exported forms: {error}.")
        return rows
    inputs = noise_inputs(model, MAC_SECONDS)
    shown = {name: forms[name] for name in rows}
    for name, times in time_forms(shown, inputs, rounds).items():
        rows[name].seconds = times
    return rows


def _rows(
    content: dict[str, Any], before: torch.nn.Module, is_pruned: bool
) -> dict[str, ExportedForm]:
    after = "after, " if is_pruned else ""
    titles = {
        PYTORCH: f"{after}PyTorch",
        PYTORCH_INT8: f"{after}PyTorch, int8",
        ONNX: f"{after}ONNX",
        ONNX_INT8: f"{after}ONNX, int8",
    }
    rows = {}
    if is_pruned:
        rows[BEFORE] = ExportedForm("before, PyTorch", saved_bytes(before))
    for name, row in content["forms"].items():
        difference = None if name == PYTORCH else row["difference"]
        rows[name] = ExportedForm(titles[name], row["bytes"], difference)
    return rows


def _forms(
    content: dict[str, Any],
    before: torch.nn.Module,
    encoder: torch.nn.Module,
    directory: Path,
) -> dict[str, Form]:
    """Forms to be timed, whose times do not depend on the weights.

    Raises:
        ValueError: onnxruntime is missing, or cannot read a file.
    """
    forms = {BEFORE: pytorch_form(before), PYTORCH: pytorch_form(encoder)}
    if PYTORCH_INT8 in content["forms"]:
        forms[PYTORCH_INT8] = pytorch_form(quantize(encoder))
    for name in (ONNX, ONNX_INT8):
        if name in content["forms"]:
            path = directory / content["forms"][name]["file"]
            forms[name] = onnx_form(OnnxEncoder(path, torch.get_num_threads()))
    return forms


def forms_table(forms: dict[str, ExportedForm]) -> list[str]:
    """A table of the forms, and how they were measured."""
    seconds = [form.seconds.median for form in forms.values() if form.seconds]
    timed = len(seconds) == len(forms)
    first = next(iter(forms.values()))
    headings = ["form", "size [MB]", *(["CPU time [ms]"] if timed else [])]
    headings += ["largest difference, relative", "mean"]
    rows = []
    for index, form in enumerate(forms.values()):
        cells = [form.title, f"{form.bytes / 1e6:.2f} ({form.bytes / first.bytes:.0%})"]
        if timed:
            share = seconds[index] / seconds[0]
            cells.append(f"{1e3 * seconds[index]:.1f} ({share:.0%})")
        for key in ("relative", "mean"):
            difference = form.difference
            cells.append("-" if difference is None else f"{difference[key]:.1e}")
        rows.append(cells)
    text = (
        "Sizes are of the ONNX files, and of the encoder's weights in a checkpoint. "
        "Differences are from the encoder in PyTorch's float32, by its largest output "
        "(largest) and as root mean squares (mean). PyTorch in int8 is what ESPnet's "
        "`--quantize_asr_model` makes."
    )
    if timed:
        text += (
            " Times are of the encoder for one utterance of 10 s, medians, all forms "
            "taking turns."
        )
    return [*table_lines(headings, rows), "", text]
