"""A recipe directory with nine utterances, as stages 1 to 10 would leave it."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import yaml
from support.tiny_training import TOKENS, config, write_data

from benchmarks.compare.configs import Settings

DENSE = "conf/dense.yaml"


def write_recipe(root: Path) -> Path:
    """Write data, token list, statistics and the stock model's config."""
    for name in ("train", "dev", "test"):
        write_data(root / "dump/raw" / name)
    tokens = root / "data/en_token_list/char/tokens.txt"
    tokens.parent.mkdir(parents=True)
    tokens.write_text("\n".join(TOKENS) + "\n")
    for part in ("train", "valid"):
        stats = root / "exp/asr_stats_raw_en_char" / part
        stats.mkdir(parents=True)
        data = root / "dump/raw" / ("train" if part == "train" else "dev")
        for source, name in (("speech_shape",) * 2, ("text_shape", "text_shape.char")):
            (stats / name).write_text((data / source).read_text())
        one = np.ones(20, dtype=np.float32)
        np.savez(stats / "feats_stats.npz", count=10, sum=10 * one, sum_square=20 * one)
    (root / "run.sh").write_text("exit 1\n")
    path = root / DENSE
    path.parent.mkdir()
    path.write_text(yaml.safe_dump(dense_config(root)))
    return root


def dense_config(root: Path) -> dict:
    """A stock CTC Conformer of one block, trained in no time."""
    values = config(
        root,
        encoder="conformer",
        encoder_conf=dict(
            output_size=16,
            attention_heads=2,
            linear_units=64,
            num_blocks=2,
            cnn_module_kernel=3,
            rel_pos_type="latest",
            macaron_style=True,
        ),
        decoder=None,
        decoder_conf=None,
        model=None,
        model_conf=dict(ctc_weight=1.0, report_cer=False, report_wer=False),
        scheduler="warmuplr",
        scheduler_conf=dict(warmup_steps=10),
        best_model_criterion=[["valid", "loss", "min"]],
        max_epoch=4,
        token_list=None,
        token_type=None,
        normalize=None,
    )
    return values


def settings(root: Path, exp: Path, **changes) -> Settings:
    """Of a comparison on that recipe."""
    values = dict(
        exp=exp,
        recipe_dir=root,
        max_epoch=4,
        batches=5,
        target=0.4,
        dense_config=DENSE,
    )
    return Settings(**{**values, **changes})


def namespace(**options) -> argparse.Namespace:
    """Parsed options of a command."""
    return argparse.Namespace(**options)
