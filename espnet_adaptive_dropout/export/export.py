"""Exports the encoder of a trained model and measures its exported forms."""

from __future__ import annotations

import dataclasses
import io
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import espnet2
import torch

import espnet_adaptive_dropout
from espnet_adaptive_dropout import compat
from espnet_adaptive_dropout.experiments.encoder_entry import (
    ADAPTIVE,
    encoder_entry,
    main_encoder,
)
from espnet_adaptive_dropout.experiments.experiment import load_task, open_model
from espnet_adaptive_dropout.experiments.features import Inputs, noise_inputs
from espnet_adaptive_dropout.experiments.sizes import MAC_SECONDS, parameters
from espnet_adaptive_dropout.export.batches import comparison_batches
from espnet_adaptive_dropout.export.compare import (
    Difference,
    Form,
    Times,
    compare,
    onnx_form,
    pytorch_form,
    time_forms,
)
from espnet_adaptive_dropout.export.int8 import quantize
from espnet_adaptive_dropout.export.onnx import (
    OPSET,
    OnnxEncoder,
    export_onnx,
    quantize_onnx,
)

# Names of the forms, in the order in which they are shown.
PYTORCH, PYTORCH_INT8, ONNX, ONNX_INT8 = "pytorch", "pytorch_int8", "onnx", "onnx_int8"
FILES = {ONNX: "encoder.onnx", ONNX_INT8: "encoder.int8.onnx"}
REPORT = "export.json"
_PACKAGES = ("torch", "onnx", "onnxruntime")


@dataclasses.dataclass
class ExportOptions:
    """Options of ``bin.export``."""

    onnx: bool = True
    int8: bool = True
    data: list[str] | None = None
    utterances: int = 4
    tolerance: float = 1e-5
    rounds: int = 0
    task: str = "asr"


def export(
    train_config: Path, model_file: Path, directory: Path, options: ExportOptions
) -> dict[str, Any]:
    """Write the ONNX files and measure all forms.

    Args:
        train_config: config.yaml of the experiment.
        model_file: checkpoint of the experiment.
        directory: existing directory for the files.
        options: options of ``bin.export``.

    Returns:
        The report, JSON-serialisable.

    Raises:
        ValueError: the model cannot be read or exported, or the ONNX file in float32
            does not compute what the encoder does.
        OSError: a file cannot be written.
    """
    if not (options.onnx or options.int8):
        raise ValueError("--onnx false --int8 false: nothing to do")
    task = load_task(options.task)
    config, model = open_model(task, train_config, model_file)
    encoder = main_encoder(model)
    _refuse_other_encoders(encoder, config, train_config)
    batches, source = comparison_batches(
        task, model, config, options.utterances, options.data
    )
    _refuse_other_inputs(encoder, batches[0])
    forms, sizes = _write_forms(encoder, batches[0], directory, options)
    differences = _differences(forms, batches, options.tolerance)
    times: dict[str, Times] = {}
    if options.rounds:
        times = time_forms(forms, noise_inputs(model, MAC_SECONDS), options.rounds)
    return {
        "train_config": str(train_config),
        "model_file": str(model_file),
        "encoder_params": parameters(encoder),
        "input_size": _input_size(batches[0]),
        "opset": OPSET,
        "versions": _versions(),
        "tolerance": options.tolerance,
        "compared_on": source,
        "batches": [inputs.lengths.tolist() for inputs in batches],
        "threads": torch.get_num_threads(),
        "rounds": options.rounds,
        "forms": {
            name: {
                "file": FILES.get(name),
                "bytes": sizes[name],
                "difference": dataclasses.asdict(differences[name]),
                "seconds": dataclasses.asdict(times[name]) if times else None,
            }
            for name in forms
        },
    }


def _refuse_other_encoders(
    encoder: torch.nn.Module, config: dict[str, Any], train_config: Path
) -> None:
    if not isinstance(encoder, compat.ConformerEncoder):
        raise ValueError(
            f"the encoder is a {type(encoder).__name__}; only a Conformer, stock or "
            f"pruned, can be exported"
        )
    option = encoder_entry(config).option
    if config[option] == ADAPTIVE:
        raise ValueError(
            f"{train_config}: '{option}: {ADAPTIVE}' still has its gates; prune it "
            f"with bin.prune and export the pruned experiment"
        )


def _refuse_other_inputs(encoder: torch.nn.Module, inputs: Inputs) -> None:
    """Only an encoder whose output depends on features and lengths alone."""
    others = [name for name, value in inputs.options.items() if torch.is_tensor(value)]
    if others:
        raise ValueError(
            f"this model gives its encoder more than features and lengths "
            f"({', '.join(others)}), which an exported encoder has no input for"
        )
    if encoder.ctc_trim and inputs.options.get("ctc") is not None:
        raise ValueError(
            "encoder_conf.ctc_trim: true: lengths that depend on what is recognised "
            "cannot be exported"
        )


def _write_forms(
    encoder: torch.nn.Module, inputs: Inputs, directory: Path, options: ExportOptions
) -> tuple[dict[str, Form], dict[str, int]]:
    """Write the files; returns all forms to be measured, and their sizes in bytes."""
    forms: dict[str, Form] = {PYTORCH: pytorch_form(encoder)}
    sizes = {PYTORCH: saved_bytes(encoder)}
    if options.int8:
        quantised = quantize(encoder)
        forms[PYTORCH_INT8] = pytorch_form(quantised)
        sizes[PYTORCH_INT8] = saved_bytes(quantised)
    if options.onnx:
        path = directory / FILES[ONNX]
        export_onnx(encoder, _input_size(inputs), path, inputs.options)
        if options.int8:
            quantize_onnx(path, directory / FILES[ONNX_INT8])
        for name in (ONNX, ONNX_INT8) if options.int8 else (ONNX,):
            path = directory / FILES[name]
            forms[name] = onnx_form(OnnxEncoder(path, torch.get_num_threads()))
            sizes[name] = path.stat().st_size
    return forms, sizes


def _differences(
    forms: dict[str, Form], batches: Sequence[Inputs], tolerance: float
) -> dict[str, Difference]:
    """Differences from PyTorch; refuses ONNX in float32 above ``tolerance``."""
    found = {}
    for name, form in forms.items():
        found[name] = compare(forms[PYTORCH], form, batches)
        if name == ONNX and not found[name].relative <= tolerance:
            raise ValueError(
                f"the exported encoder differs by {found[name].relative:.1e} of its "
                f"outputs from the one in PyTorch (--tolerance {tolerance:g}); "
                f"nothing was written"
            )
    return found


def _input_size(inputs: Inputs) -> int:
    """Dimension of the features; 0 for tokens."""
    return inputs.features.size(-1) if inputs.features.dim() == 3 else 0


def saved_bytes(encoder: torch.nn.Module) -> int:
    """Size in bytes of the file that ``torch.save`` writes."""
    file = io.BytesIO()
    torch.save(encoder.state_dict(), file)
    return file.tell()


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    found["espnet"] = espnet2.__version__
    found["espnet-adaptive-dropout"] = espnet_adaptive_dropout.__version__
    return found
