"""The forms of an encoder that are timed: PyTorch, int8, ONNX, ESPnet experiment."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any, Callable

import torch

from benchmarks.files import save_torch, write_yaml
from benchmarks.speed.build import Builder
from benchmarks.speed.encoders import INPUT_SIZE, Row
from benchmarks.speed.timing import Device
from espnet_adaptive_dropout.experiments.encoder_entry import main_encoder
from espnet_adaptive_dropout.experiments.experiment import build_model
from espnet_adaptive_dropout.experiments.features import Inputs

Run = Callable[[], object]

# Log mel filter banks at a 10 ms hop, from audio at 16 kHz.
FRONTEND: dict[str, Any] = dict(
    input_size=None,
    frontend="default",
    frontend_conf=dict(n_fft=512, hop_length=160),
    normalize="utterance_mvn",
)


class Forms:
    """Encoders of one size, ready to run; each is made once.

    Args:
        builder: makes the models.
        device: device they run on.
        directory: directory of the ONNX files.
    """

    def __init__(self, builder: Builder, device: Device, directory: Path):
        self.builder = builder
        self.device = device
        self.directory = directory
        self._encoders = {}

    def run(self, row: Row, inputs: Inputs, threads: int) -> Run:
        """Make a function that encodes ``inputs``.

        Args:
            row: form of the encoder.
            inputs: float32, on the CPU.
            threads: threads of ONNX Runtime; the caller sets those of PyTorch.

        Raises:
            ValueError: the form cannot run here.
        """
        if self.device.is_cuda and row.form:
            raise ValueError(f"{row.name} runs on a CPU only")
        if row.form.startswith("onnx"):
            return self._onnx_run(row, inputs, threads)
        encoder = self.encoder(row)
        features, lengths = (x.to(self.device.name) for x in inputs)

        @torch.inference_mode()
        def run() -> object:
            with self.device.precision():
                return encoder(features, lengths)

        return run

    def encoder(self, row: Row) -> torch.nn.Module:
        """The encoder as a PyTorch module, in evaluation mode, on the device."""
        if row.name not in self._encoders:
            encoder = main_encoder(self.builder.model(row))
            encoder = encoder.to(self.device.name).eval()
            if row.form == "int8":
                from espnet_adaptive_dropout.export.int8 import quantize

                encoder = quantize(encoder)
            self._encoders[row.name] = encoder
        return self._encoders[row.name]

    def onnx_file(self, row: Row) -> Path:
        """The row's ONNX file, exported if it does not exist."""
        from espnet_adaptive_dropout.export.onnx import export_onnx, quantize_onnx

        path = self.directory / f"{row.base}.onnx"
        self.directory.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            encoder = main_encoder(self.builder.model(row))
            export_onnx(encoder, INPUT_SIZE, path)
        if row.form == "onnx":
            return path
        int8_path = self.directory / f"{row.base}_int8.onnx"
        if not int8_path.exists():
            quantize_onnx(path, int8_path)
        return int8_path

    def _onnx_run(self, row: Row, inputs: Inputs, threads: int) -> Run:
        from espnet_adaptive_dropout.export.onnx import OnnxEncoder

        encoder = OnnxEncoder(self.onnx_file(row), threads=threads)
        features, lengths = (x.numpy() for x in inputs)
        return lambda: encoder(features, lengths)


def write_experiment(builder: Builder, row: Row, directory: Path) -> Path:
    """Write config.yaml and model.pth of the row's model with a frontend.

    Returns:
        The directory; an existing experiment is kept.
    """
    if (directory / "model.pth").exists():
        return directory
    config = {**builder.config_of(row), **FRONTEND}
    model = build_model(builder.task, config)
    weights = builder.model(row).state_dict()
    state = {**model.state_dict(), **weights}
    model.load_state_dict(state)
    write_yaml(directory / "config.yaml", _plain(config))
    save_torch(directory / "model.pth", model.state_dict())
    return directory


def _plain(value: Any) -> Any:
    """Tuples as lists and paths as text, as ESPnet writes them."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def saved_bytes(module: torch.nn.Module) -> int:
    """Size of a file with a module's weights."""
    stream = io.BytesIO()
    torch.save(module.state_dict(), stream)
    return stream.getbuffer().nbytes
