"""A tiny ESPnet ASR experiment on disk, untrained but with decided gates."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
import torch
import yaml
from support.encoders import randomise

import espnet_adaptive_dropout  # noqa: F401  (registers the classes)
from espnet_adaptive_dropout.stacks.adaptive import adaptive_stacks

TOKENS = ["<blank>", "<unk>", "▁A", "▁B", "C", "<sos/eos>"]
ENCODER = dict(
    output_size=16,
    attention_heads=4,
    linear_units=24,
    num_blocks=2,
    cnn_module_kernel=3,
    macaron_style=True,
    rel_pos_type="latest",
)


def write_audio(directory, utterances: int = 3):
    """Noise of different lengths; returns the path of wav.scp."""
    generator = np.random.default_rng(0)
    lines = []
    for index in range(utterances):
        path = directory / f"utt{index}.wav"
        samples = generator.normal(0, 0.1, 16000 + 4000 * index)
        soundfile.write(path, samples, 16000)
        lines.append(f"utt{index} {path}\n")
    scp = directory / "wav.scp"
    scp.write_text("".join(lines))
    return scp


def write_text(directory, utterances: int = 3):
    """A text for each utterance; returns the path."""
    words = ["▁A ▁B", "C", "▁B C ▁A"]
    path = directory / "text"
    lines = [f"utt{index} {words[index % 3]}\n" for index in range(utterances)]
    path.write_text("".join(lines), encoding="utf-8")
    return path


DECODER = dict(num_blocks=1, linear_units=8, attention_heads=2)


def make_experiment(
    directory,
    encoder="adaptive_dropout_conformer",
    seed=0,
    ctc_weight=0.5,
    decoder="transformer",
    decoder_conf=None,
    **conf,
):
    """Make the directory with config.yaml and valid.pth; returns the task's model.

    Args:
        directory: new directory.
        encoder: name of the encoder.
        seed: seed of weights and logits.
        ctc_weight: weight of the CTC in the model.
        decoder: name of the decoder.
        decoder_conf: its options; None takes ``DECODER``.
        conf: options in ``encoder_conf.adaptive_dropout_conf``.
    """
    from espnet2.tasks.asr import ASRTask

    directory.mkdir(parents=True, exist_ok=True)
    adaptive = encoder == "adaptive_dropout_conformer"
    options = dict(ENCODER)
    if adaptive:
        defaults = dict(target_reduction=0.4, total_steps=100)
        options["adaptive_dropout_conf"] = {**defaults, **conf}
    scp, text = write_audio(directory), write_text(directory)
    args = ASRTask.get_parser().parse_args(
        [
            *("--encoder", encoder, "--encoder_conf", yaml.safe_dump(options)),
            *("--decoder", decoder),
            *("--decoder_conf", yaml.safe_dump(decoder_conf or DECODER)),
            *("--model_conf", f"{{ctc_weight: {ctc_weight}}}"),
            *("--frontend_conf", "{n_mels: 20, n_fft: 256, hop_length: 160}"),
            *("--token_type", "word", "--normalize", "utterance_mvn"),
            *("--valid_data_path_and_name_and_type", f"{scp},speech,sound"),
            *("--valid_data_path_and_name_and_type", f"{text},text,text"),
            *("--train_data_path_and_name_and_type", f"{scp},speech,sound"),
            *("--train_data_path_and_name_and_type", f"{text},text,text"),
            *("--output_dir", str(directory)),
        ]
    )
    args.token_list = TOKENS
    if adaptive or decoder == "adaptive_dropout_transformer":
        args.model = "adaptive_dropout"
        args.best_model_criterion = [("valid", "final_acc", "max")]
    model = ASRTask.build_model(args).eval()
    randomise(model, seed)
    for stack in adaptive_stacks(model):
        generator = torch.Generator().manual_seed(seed)
        gated = int(stack.units.gated().sum())
        stack.units.set_logits(torch.randn(gated, generator=generator))
        stack.control.freeze()
    write_config(directory, args)
    torch.save(model.state_dict(), directory / "valid.pth")
    return model


def model_options(directory, model="valid.pth"):
    """The options that name an experiment for the commands."""
    return [
        *("--train_config", str(directory / "config.yaml")),
        *("--model_file", str(directory / model)),
    ]


def run_prune(experiment, *extra, output="compact"):
    """Prune an experiment into a directory beside it; returns the directory."""
    from espnet_adaptive_dropout.bin import prune

    directory = experiment.parent / output
    prune.main([*model_options(experiment), "--output_dir", str(directory), *extra])
    return directory


def refused_prune(experiment, *extra):
    """Return the one line with which pruning is refused; nothing is written."""
    with pytest.raises(SystemExit) as stop:
        run_prune(experiment, *extra)
    assert "\n" not in str(stop.value)
    assert not (experiment.parent / "compact").exists()
    return str(stop.value)


def pruned_experiment(root):
    """Make an experiment and prune it; returns both directories."""
    from espnet_adaptive_dropout.bin import prune

    trained, compact = root / "exp", root / "compact"
    make_experiment(trained)
    prune.main([*model_options(trained), "--output_dir", str(compact)])
    return trained, compact


def write_config(directory, args) -> None:
    """Write config.yaml as ESPnet's training does."""
    (directory / "config.yaml").write_text(yaml.safe_dump(_plain(vars(args))))


def _plain(value):
    """Tuples as lists, as ESPnet writes them."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
