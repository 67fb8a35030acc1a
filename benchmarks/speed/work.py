"""What all parts of the measurement share: encoders in all forms, results, effort."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import shutil
from pathlib import Path
from typing import Any, Callable

import torch

from benchmarks.files import save_torch, write_yaml
from benchmarks.speed.build import INPUT_SIZE, Builder
from benchmarks.speed.choices import Row, Setting
from benchmarks.speed.store import Store
from benchmarks.speed.timing import Device, Effort
from espnet_adaptive_dropout.experiments.encoder_entry import main_encoder
from espnet_adaptive_dropout.experiments.experiment import build_model
from espnet_adaptive_dropout.experiments.features import Inputs
from espnet_adaptive_dropout.export.int8 import quantize
from espnet_adaptive_dropout.export.onnx import OnnxEncoder, export_onnx, quantize_onnx

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
                encoder = quantize(encoder)
            self._encoders[row.name] = encoder
        return self._encoders[row.name]

    def onnx_file(self, row: Row) -> Path:
        """The row's ONNX file, exported if it does not exist."""
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
    # Tuples as lists and paths as text, as ESPnet writes them.
    plain = json.loads(json.dumps(config, default=os.fspath))
    write_yaml(directory / "config.yaml", plain)
    save_torch(directory / "model.pth", model.state_dict())
    return directory


@dataclasses.dataclass
class Work:
    """What to measure, where, and how thoroughly.

    Args:
        exp: directory of results, models and ONNX files.
        device: device to measure on.
        size: size of the encoder, key of ``choices.SIZES``.
        rows: encoders to compare, the stock encoder first.
        settings: settings of the part ``forward``.
        seconds: time for all parts together.
        rounds: number of rounds; 0: as many as there is time for.
        again: whether rows with results are measured again.
    """

    exp: Path
    device: Device
    size: str
    rows: tuple[Row, ...]
    settings: tuple[Setting, ...]
    seconds: float
    rounds: int = 0
    again: bool = False

    def __post_init__(self) -> None:
        self.builder = functools.lru_cache(maxsize=None)(Builder)
        self.forms = functools.lru_cache(maxsize=None)(self._forms)

    def _forms(self, size: str) -> Forms:
        return Forms(self.builder(size), self.device, self.exp / "forms" / size)

    def experiment(self, row: Row) -> Path:
        """Directory of an ESPnet experiment with the row's model, float or not."""
        directory = self.exp / "models" / self.size / row.base
        return write_experiment(self.builder(self.size), row, directory)

    def forget_files(self) -> None:
        """Remove the models and ONNX files of earlier measurements."""
        for kind in ("forms", "models"):
            shutil.rmtree(self.exp / kind, ignore_errors=True)

    def store(self, part: str) -> Store:
        """Results of a part."""
        return Store(self.exp / part, self.again, self.device.description)

    def describe(self, **setting: object) -> dict[str, object]:
        """Setting of a part other than ``forward``, for JSON."""
        device = dict(device=self.device.name, dtype=self.device.dtype)
        return {"size": self.size, **setting, **device}

    def effort(self, share: float, rounds: int, least: int = 5) -> Effort:
        """Effort of a part: this share of the time, ``rounds`` rounds at most."""
        if self.rounds:
            return Effort(self.rounds)
        return Effort(rounds, share * self.seconds, least)

    def key(self, **setting: object) -> str:
        """Name of the results of a part other than ``forward``."""
        device = self.device
        given = "_".join(f"{value}{name}" for name, value in setting.items())
        return f"{self.size}_{device.name}_{device.dtype}_{given}"
