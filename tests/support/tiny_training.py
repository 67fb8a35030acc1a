"""A training of ESPnet's ASR task that takes a second, for several tests."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
import yaml

import espnet_adaptive_dropout  # noqa: F401  (registers the classes)

RATE = 16000
TOKENS = ["<blank>", "<unk>", "a", "b", "c", "<sos/eos>"]
TEXTS = ["abc", "cab", "b", "ac", "ba", "c", "abab", "bc", "ca"]
# Batches of an epoch: nine utterances in batches of two, or of three.
BATCHES = 4
# ``lightning_conf`` of a training by ESPnet's Lightning trainer.
LIGHTNING = dict(
    max_epochs=3,
    accelerator="cpu",
    devices=1,
    log_every_n_steps=1,
    best_model_criterion=[["valid/final_loss", "min", 1]],
)


def write_data(root: Path) -> Path:
    """Write nine utterances of noise with their shapes, as stages 4 to 10 would."""
    generator = np.random.default_rng(0)
    lines: dict[str, list[str]] = {
        name: [] for name in ("wav.scp", "text", "speech_shape", "text_shape")
    }
    root.mkdir(parents=True, exist_ok=True)
    for index, text in enumerate(TEXTS):
        samples = 4000 + 600 * index
        wav = root / f"utt{index}.wav"
        soundfile.write(wav, generator.normal(scale=0.1, size=samples), RATE)
        values = (wav, text, samples, f"{len(text)},{len(TOKENS)}")
        for name, value in zip(lines, values):
            lines[name].append(f"utt{index} {value}\n")
    for name, content in lines.items():
        (root / name).write_text("".join(content))
    (root / "tokens.txt").write_text("\n".join(TOKENS) + "\n")
    return root


def split_data(root: Path, splits: int = 2) -> Path:
    """Write the data again in ``splits`` parts for ``--multiple_iterator true``."""
    for name in ("wav.scp", "text", "speech_shape", "text_shape"):
        directory = root / "splits" / name
        directory.mkdir(parents=True, exist_ok=True)
        lines = (root / name).read_text().splitlines(keepends=True)
        for part in range(splits):
            (directory / f"split.{part}").write_text("".join(lines[part::splits]))
        (directory / "num_splits").write_text(str(splits))
    return root / "splits"


# Of every training config: a model and a training that take no time.
COMMON = dict(
    frontend_conf=dict(n_fft=256, hop_length=128, n_mels=20),
    normalize="utterance_mvn",
    decoder="transformer",
    decoder_conf=dict(attention_heads=2, linear_units=8, num_blocks=1),
    optim="adam",
    optim_conf=dict(lr=0.002),
    batch_size=2,
    max_epoch=2,
    keep_nbest_models=1,
    best_model_criterion=[["valid", "final_loss", "min"]],
    num_att_plot=0,
    num_workers=0,
    use_matplotlib=False,
    use_tensorboard=False,
    ngpu=0,
    seed=1,
)


def encoder_conf(**adaptive_dropout_conf: Any) -> dict[str, Any]:
    """A Conformer of one block."""
    return dict(
        output_size=8,
        attention_heads=2,
        linear_units=16,
        num_blocks=1,
        cnn_module_kernel=3,
        rel_pos_type="latest",
        adaptive_dropout_conf=adaptive_dropout_conf,
    )


# Schedule of a training of few steps: gates sample for more than half of them.
LATE_FREEZE = dict(ramp_start=0.3, ramp_end=0.7, freeze_at=0.85)
# adaptive_dropout_conf of a training of which more than half follows the freeze.
EARLY_FREEZE = dict(target_reduction=0.2, ramp_start=0.1, ramp_end=0.3, freeze_at=0.3)
# What the log then says.
CUT = "the training goes on with the small encoder"


def config(data: Path, **changes: Any) -> dict[str, Any]:
    """A training config; ``changes`` go over it, None for ESPnet's default."""
    values = dict(
        COMMON,
        token_list=str(data / "tokens.txt"),
        token_type="char",
        encoder="adaptive_dropout_conformer",
        encoder_conf=encoder_conf(target_reduction=0.2, **LATE_FREEZE),
        model="adaptive_dropout",
        model_conf=dict(ctc_weight=0.3, report_cer=False, report_wer=False),
        batch_type="unsorted",
        valid_batch_type="unsorted",
    )
    return without_none({**values, **changes})


def without_none(values: dict[str, Any]) -> dict[str, Any]:
    """The entries that have a value; ESPnet has a default for each of the others."""
    return {name: value for name, value in values.items() if value is not None}


def data_arguments(data: Path, split: bool = False) -> list[str]:
    """The options that name the data."""
    train = data / "splits" if split else data
    arguments = []
    for part, root in (("train", train), ("valid", data)):
        for entry in (f"{root}/wav.scp,speech,sound", f"{root}/text,text,text"):
            arguments += [f"--{part}_data_path_and_name_and_type", entry]
        for name in ("speech_shape", "text_shape"):
            arguments += [f"--{part}_shape_file", f"{root}/{name}"]
    return arguments


def command(data: Path, output: Path, split: bool = False, **changes: Any) -> list[str]:
    """Arguments of ``espnet2.bin.asr_train``; writes the config beside ``output``."""
    output.parent.mkdir(parents=True, exist_ok=True)
    path = output.parent / f"{output.name}.yaml"
    path.write_text(yaml.safe_dump(config(data, **changes)))
    return [
        *("--config", str(path), "--output_dir", str(output)),
        *data_arguments(data, split),
    ]


def parse(arguments: list[str]) -> argparse.Namespace:
    """What ESPnet makes of the arguments."""
    from espnet2.tasks.asr import ASRTask

    return ASRTask.get_parser().parse_args(arguments)


def completed_conf(arguments: list[str]) -> dict[str, Any]:
    """``adaptive_dropout_conf`` that ESPnet gets when the runner has added to it."""
    return parse(complete(arguments)).encoder_conf["adaptive_dropout_conf"]


def complete(arguments: list[str]) -> list[str]:
    """The command line as the runner hands it on."""
    from espnet2.tasks.asr import ASRTask

    from espnet_adaptive_dropout.plugin.training_length import complete_arguments

    return complete_arguments(ASRTask.get_parser(), list(arguments))


def build_model(data: Path, **changes: Any) -> torch.nn.Module:
    """The model of the config, with a fixed seed."""
    from espnet2.tasks.asr import ASRTask

    torch.manual_seed(0)
    arguments = command(data, data / "model", **changes)
    return ASRTask.build_model(parse(arguments))


def write_untrained(data: Path, **changes: Any) -> tuple[Path, Path]:
    """Write a model that has not been trained; returns its config and checkpoint."""
    model = build_model(data, **changes)
    directory = data / "untrained"
    directory.mkdir(exist_ok=True)
    values = vars(parse(command(data, directory, **changes)))
    tokens = (data / "tokens.txt").read_text().split()
    config_file, model_file = directory / "config.yaml", directory / "model.pth"
    config_file.write_text(yaml.safe_dump({**values, "token_list": tokens}))
    torch.save(model.state_dict(), model_file)
    return config_file, model_file


def model_before_training(arguments: list[str]) -> torch.nn.Module:
    """The model as ESPnet's training makes it before the first step."""
    from espnet2.tasks.asr import ASRTask
    from espnet2.torch_utils.load_pretrained_model import load_pretrained_model

    args = parse(complete(arguments))
    torch.manual_seed(5)
    model = ASRTask.build_model(args)
    for item in args.init_param:
        load_pretrained_model(item, model, args.ignore_init_mismatch)
    return model


def batch() -> dict[str, torch.Tensor]:
    """Three utterances of different lengths, as ESPnet's collate function gives."""
    generator = torch.Generator().manual_seed(0)
    return dict(
        speech=0.1 * torch.randn(3, 8000, generator=generator),
        speech_lengths=torch.tensor([8000, 6100, 5200]),
        text=torch.tensor([[2, 3, 4], [3, 2, -1], [4, -1, -1]]),
        text_lengths=torch.tensor([3, 2, 1]),
    )


def train_steps(model: torch.nn.Module, steps: int) -> dict[str, Any]:
    """Run training steps, without an optimizer; returns what the last reports."""
    for _ in range(steps):
        loss, stats, _ = model.train()(**batch())
        loss.sum().backward()
    return stats
