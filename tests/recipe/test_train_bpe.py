"""Stage 5 for pieces."""

from __future__ import annotations

import subprocess
import sys

import pytest
import sentencepiece
from support.paths import RECIPE

SCRIPT = RECIPE / "local" / "tools" / "train_bpe.py"
WORDS = ["ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE"]


@pytest.fixture
def train(tmp_path):
    lines = [
        f"u{i} {WORDS[i % 9]} {WORDS[i * 7 % 9]} {WORDS[i * 5 % 9]}" for i in range(200)
    ]
    (tmp_path / "text").write_text("\n".join(lines) + "\n")

    def run(*options):
        command = [sys.executable, str(SCRIPT), "--text", "text", "--out", "bpe"]
        return subprocess.run(
            [*command, *options], cwd=tmp_path, capture_output=True, text=True
        )

    return run


@pytest.mark.parametrize("mode", ["unigram", "bpe"])
def test_model_and_tokens_agree(tmp_path, train, mode):
    done = train("--pieces", "24", "--mode", mode)
    assert done.returncode == 0, done.stderr
    tokens = (tmp_path / "bpe/tokens.txt").read_text(encoding="utf-8").split()
    assert tokens[:2] == ["<blank>", "<unk>"]
    assert tokens[-1] == "<sos/eos>"
    model = sentencepiece.SentencePieceProcessor(str(tmp_path / "bpe/bpe.model"))
    assert len(tokens) == model.get_piece_size() == 24
    assert set(model.encode("SEVEN ONE", out_type=str)) <= set(tokens)
    left = {path.name for path in (tmp_path / "bpe").iterdir()}
    assert left == {"train.txt", "bpe.model", "bpe.vocab", "tokens.txt"}


def test_symbols_stay_whole(tmp_path, train):
    assert train("--pieces", "26", "--symbols", "<noise>,<hes>").returncode == 0
    tokens = (tmp_path / "bpe/tokens.txt").read_text(encoding="utf-8").split()
    assert {"<noise>", "<hes>"} <= set(tokens)


def test_too_many_pieces_names_the_limit(tmp_path, train):
    done = train("--pieces", "5000")
    assert done.returncode == 1
    assert "--nbpe 5000 is more than the text allows; give --nbpe " in done.stderr
    assert not (tmp_path / "bpe/tokens.txt").exists()
    limit = done.stderr.split("--nbpe ")[2].split()[0]
    assert train("--pieces", limit).returncode == 0


def test_no_text(train):
    done = train("--pieces", "10", "--text", "none")
    assert done.returncode == 1
    assert done.stderr.startswith("train_bpe.py: error: none is missing")
