"""Trainings of seconds in ESPnet's tasks: their data and command lines."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml
from support.paths import TESTS
from support.tiny_task import TOKENS, Tiny
from support.tiny_training import COMMON, RATE, encoder_conf, without_none

SAMPLES = [4800, 6400, 5600, 7200]
TEXTS = ["a b c", "c a", "b", "a c b"]
# The S2T tasks drop the first token and read language and task from the next two.
S2T_PREFIX = "<space> <eng> <asr> <notimestamps>"


def write_data(root: Path, rounds: int = 1) -> Path:
    """Utterances of noise, four in a round, with texts, two speakers and shapes."""
    generator = np.random.default_rng(0)
    root.mkdir(parents=True, exist_ok=True)
    tables: dict[str, list[str]] = {
        name: []
        for name in ("wav.scp", "text", "src_text", "s2t_text", "labels.scp", "shape")
    }
    for index, (samples, text) in enumerate(zip(SAMPLES * rounds, TEXTS * rounds)):
        name = f"utt{index}"
        wave = generator.normal(scale=0.1, size=samples)
        soundfile.write(root / f"{name}.wav", wave, RATE)
        tables["wav.scp"].append(f"{name} {root / name}.wav")
        tables["text"].append(f"{name} {text}")
        tables["src_text"].append(f"{name} {' '.join(text.split() * 2)}")
        tables["s2t_text"].append(f"{name} {S2T_PREFIX} {text}")
        labels = np.zeros((samples, 2), dtype=np.float32)
        labels[: samples // 2, 0] = labels[samples // 4 :, 1] = 1.0
        np.save(root / f"{name}.npy", labels)
        tables["labels.scp"].append(f"{name} {root / name}.npy")
        tables["shape"].append(f"{name} {samples}")
    for name, lines in tables.items():
        (root / name).write_text("\n".join(lines) + "\n")
    return root


def write_config(tiny: Tiny, path: Path) -> None:
    """The training config: four steps, the size final in the second half."""
    conf = encoder_conf(target_reduction=0.2, freeze_at=0.6, ramp_end=0.5)
    conf["input_layer"] = {"mt": "linear", "s2t_ctc": "conv2d8"}.get(
        tiny.task, "conv2d"
    )
    values = dict(
        COMMON,
        token_list=TOKENS,
        token_type="word",
        batch_type="sorted",
        valid_batch_type="sorted",
        **{tiny.encoder: "adaptive_dropout_conformer", f"{tiny.encoder}_conf": conf},
    )
    path.write_text(yaml.safe_dump(without_none({**values, **tiny.config})))


def training_arguments(tiny: Tiny, data: Path, output: Path) -> list[str]:
    """Arguments of the training command; writes the config beside ``output``."""
    config = output.parent / f"{output.name}.yaml"
    write_config(tiny, config)
    arguments = ["--config", str(config), "--output_dir", str(output)]
    for part in ("train", "valid"):
        arguments += [f"--{part}_shape_file", str(data / "shape")]
        for file, name, kind in tiny.data:
            triplet = f"{data / file},{name},{kind}"
            arguments += [f"--{part}_data_path_and_name_and_type", triplet]
    return arguments


def decoding_arguments(tiny: Tiny, data: Path, exp: Path, output: Path) -> list[str]:
    """Arguments of the task's decoding command."""
    file, name, kind = tiny.audio
    return [
        *(f"--{tiny.option}train_config", str(exp / "config.yaml")),
        *(f"--{tiny.option}model_file", str(exp / "valid.final_loss.best.pth")),
        *("--output_dir", str(output), "--num_workers", "0"),
        *("--data_path_and_name_and_type", f"{data / file},{name},{kind}"),
        *tiny.arguments,
    ]


def provide_transducer_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a stand-in take the place of warprnnt_pytorch where that is missing, in
    this process and in those that it starts."""
    # Another test's stand-in, which is not on the path any more
    monkeypatch.delitem(sys.modules, "warprnnt_pytorch", raising=False)
    if find_spec("warprnnt_pytorch") is not None:
        return
    import torchaudio  # noqa: F401  (registers its operators)

    if not hasattr(torch.ops.torchaudio, "rnnt_loss_forward"):
        pytest.skip("neither warprnnt_pytorch nor torchaudio's transducer loss")
    place = str(TESTS / "support" / "stand_ins")
    monkeypatch.syspath_prepend(place)
    known = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [place, known])))
