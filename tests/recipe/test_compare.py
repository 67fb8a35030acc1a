"""The closing table."""

from __future__ import annotations

import json

import pytest
from common import RecipeError
from compare import markdown, model_file, read_row

SUMMARY = "| Sum/Avg | 19 113 | 18.6  37.2  44.2   3.5 {} 100.0 |\n"


@pytest.fixture
def experiment(tmp_path):
    def make(name, wer, encoder, model="valid.loss.ave.pth"):
        exp = tmp_path / name
        scored = exp / "decode" / "test_clean" / "score_wer"
        scored.mkdir(parents=True)
        (scored / "result.txt").write_text(SUMMARY.format(wer))
        logs = exp / "decode" / "test_clean" / "logdir"
        logs.mkdir()
        (logs / "calculate_rtf.log").write_text("RTF: 0.25\n")
        (exp / "config.yaml").write_text("encoder: conformer\n")
        (exp / model).write_text("")
        sizes = {"encoder_params": encoder, "total_params": encoder + 10}
        sizes.update(encoder_macs=2e6, mac_seconds=10)
        (exp / "measure.json").write_text(json.dumps(sizes))
        return exp

    return make


def test_two_rows(experiment):
    rows = [
        read_row("stock", experiment("a", 20.5, 1000)),
        read_row("ours", experiment("b", 19.5, 460, "valid.final_loss.ave.pth")),
    ]
    text = markdown(rows, "toy")
    assert "| stock | 20.5 | 1,000 | 1,010 | 2.0 M | 0.250 |" in text
    assert "| ours | 19.5 | 460 | 470 | 2.0 M | 0.250 |" in text
    assert "54.0% fewer parameters" in text
    assert "says nothing about WER on LibriSpeech" in text
    assert "synthetic" not in markdown(rows, "librispeech")


def test_undecoded_experiment(tmp_path):
    assert read_row("x", tmp_path / "none") is None


def test_unclear_checkpoint(experiment):
    exp = experiment("a", 1.0, 10, "1epoch.pth")
    (exp / "2epoch.pth").write_text("")
    with pytest.raises(RecipeError, match="valid.loss.ave.pth is missing"):
        model_file(exp)
