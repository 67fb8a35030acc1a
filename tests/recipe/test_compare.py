"""The closing table."""

from __future__ import annotations

import json

import pytest
from check_options import OptionError
from compare import markdown, model_file, read_rows

SUMMARY = "| Sum/Avg | 19 113 | 18.6  37.2  44.2   3.5 {} 100.0 |\n"
COMPACT = "espnet_adaptive_dropout.compact_conformer"


@pytest.fixture
def experiment(tmp_path):
    """Function that makes a decoded experiment."""

    def make(name, wer, params, encoder="conformer", corpus="toy"):
        exp = tmp_path / name
        decoded = exp / "decode/test_clean"
        (decoded / "score_wer").mkdir(parents=True)
        (decoded / "score_wer/result.txt").write_text(SUMMARY.format(wer))
        (decoded / "logdir").mkdir()
        (decoded / "logdir/calculate_rtf.log").write_text("# a b\nRTF: 0.25\n")
        (exp / ".corpus").write_text(f"{corpus}\n")
        (exp / "config.yaml").write_text(f"encoder: {encoder}\n")
        (exp / "valid.loss.ave.pth").write_text("")
        sizes = {"encoder_params": params, "total_params": params + 10}
        sizes.update(encoder_macs=2e6, mac_seconds=10)
        if encoder == COMPACT:
            (exp / "certificate.json").write_text("{}")
            (exp / "report.json").write_text(json.dumps({"after": sizes}))
        else:
            (exp / "measure.json").write_text(json.dumps(sizes))
        return exp

    return make


def test_every_decoded_model_of_the_corpus_is_a_row(experiment, tmp_path):
    experiment("asr_dense", 20.5, 1000)  # whatever its --asr_tag
    experiment("asr_a_compact", 19.5, 460, COMPACT)
    experiment("asr_other", 3.0, 7, corpus="smoke")
    (tmp_path / "asr_undecoded").mkdir()
    (tmp_path / "asr_undecoded/.corpus").write_text("toy\n")
    text = markdown(read_rows(tmp_path, "toy"), "toy")
    lines = text.splitlines()
    assert lines[2] == "| stock Conformer | 20.5 | 1,000 | 1,010 | 2.0 M | 0.250 |"
    assert lines[3].startswith("| adaptive dropout, pruned | 19.5 | 460 | 470 |")
    assert "adaptive dropout, pruned: 54.0% fewer encoder parameters" in text
    assert len([line for line in lines if line.startswith("| ")]) == 3
    experiment("asr_a_compact0.4", 19.0, 600, COMPACT)
    text = markdown(read_rows(tmp_path, "toy"), "toy")
    assert "| adaptive dropout, pruned (asr_a_compact0.4) | 19.0 |" in text


def test_only_synthesised_corpora_are_called_synthetic(experiment, tmp_path):
    for corpus in ("toy", "toy /data/recorded", "librispeech"):
        experiment(f"asr_{len(corpus)}", 20.5, 1000, COMPACT, corpus)
        text = markdown(read_rows(tmp_path, corpus), corpus)
        assert ("synthetic" in text) == (corpus == "toy")
        assert "Not decoded yet: the stock Conformer" in text


def test_unclear_checkpoint(experiment):
    exp = experiment("a", 1.0, 10)
    (exp / "valid.loss.ave.pth").rename(exp / "1epoch.pth")
    (exp / "2epoch.pth").write_text("")
    with pytest.raises(OptionError, match="valid.loss.ave.pth is missing"):
        model_file(exp, {})
