"""A tiny stock model as ESPnet's stage 14 packs it, with its own BPE and statistics."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import sentencepiece
import soundfile
import torch
import yaml
from support.encoders import randomise
from support.experiments import ENCODER, write_config

SENTENCES = ["the cat sat on the mat", "a dog ran to the cat", "no cat is a dog"]
MODEL = "valid.acc.ave.pth"
BPE = "data/token_list/bpe/bpe.model"
STATS = "exp/stats/feats_stats.npz"


def write_tokens(path: Path) -> list[str]:
    """Train a BPE model of a few sentences; return the token list."""
    content = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES * 5),
        model_writer=content,
        vocab_size=24,
        model_type="bpe",
        minloglevel=2,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.getvalue())
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(path))
    inner = [pieces.id_to_piece(i) for i in range(3, pieces.get_piece_size())]
    return ["<blank>", "<unk>", *inner, "<sos/eos>"]


def write_stats(path: Path, size: int = 20) -> None:
    """Write statistics of features for ``global_mvn``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count = np.array(1000.0)
    np.savez(path, count=count, sum=np.zeros(size), sum_square=np.full(size, 4e3))


def make_recipe(root: Path, ctc_weight: float = 1.0, seed: int = 0) -> Path:
    """Make a recipe directory with exp/asr; return the experiment directory.

    All paths in its config.yaml are relative to the recipe directory.
    """
    from espnet2.tasks.asr import ASRTask

    tokens = write_tokens(root / BPE)
    write_stats(root / STATS)
    experiment = root / "exp" / "asr"
    (experiment / "images").mkdir(parents=True)
    (experiment / "images" / "loss.png").write_bytes(b"png")
    arguments = ["--encoder", "conformer", "--encoder_conf", yaml.safe_dump(ENCODER)]
    arguments += ["--model_conf", f"{{ctc_weight: {ctc_weight}, report_cer: false}}"]
    arguments += ["--frontend_conf", "{n_mels: 20, n_fft: 256, hop_length: 160}"]
    arguments += ["--token_type", "bpe", "--bpemodel", BPE, "--output_dir", "exp/asr"]
    arguments += ["--normalize_conf", f"{{stats_file: {STATS}}}", "--max_epoch", "4"]
    if ctc_weight < 1.0:
        arguments += ["--decoder", "transformer", "--decoder_conf"]
        arguments += ["{num_blocks: 1, linear_units: 8, attention_heads: 2}"]
    args = ASRTask.get_parser().parse_args(arguments)
    args.token_list = tokens
    args.normalize = "global_mvn"
    here = os.getcwd()
    os.chdir(root)
    try:
        model = ASRTask.build_model(args).eval()
    finally:
        os.chdir(here)
    randomise(model, seed)
    with torch.no_grad():
        model.ctc.ctc_lo.bias[0] -= 3.0  # so that something is recognised
    write_config(experiment, args)
    torch.save(model.state_dict(), experiment / MODEL)
    return experiment


def pack(experiment: Path, name: str = "model.zip") -> Path:
    """Pack the experiment of a recipe as stage 14 does; return the file."""
    from espnet2.bin import pack as packing

    recipe = experiment.parents[1]
    here = os.getcwd()
    os.chdir(recipe)
    try:
        packing.main(
            [
                *("asr", "--asr_train_config", "exp/asr/config.yaml"),
                *("--asr_model_file", f"exp/asr/{MODEL}", "--outpath", name),
                *("--option", BPE, "--option", STATS, "--option", "exp/asr/images"),
            ]
        )
    finally:
        os.chdir(here)
    return recipe / name


def write_folder(directory: Path, utterances: int = 20) -> Path:
    """Write noise of different lengths into a folder, and into one inside."""
    generator = np.random.default_rng(1)
    for index in range(utterances):
        inside = directory / "inside" if index % 2 else directory
        inside.mkdir(parents=True, exist_ok=True)
        wave = generator.normal(0, 0.1, 12000 + 1000 * index)
        suffix = ("wav", "flac")[index % 2]
        soundfile.write(inside / f"utt{index:02}.{suffix}", wave, 16000)
    return directory
