"""Utterances to calibrate on."""

import numpy as np
import pytest
import soundfile
import torch
from support.experiments import TOKENS, make_experiment, write_audio, write_text

from espnet_adaptive_dropout.experiments.calibration import (
    calibration_inputs,
    teacher_forced_inputs,
)
from espnet_adaptive_dropout.experiments.experiment import load_config, load_task
from espnet_adaptive_dropout.experiments.on_disk import OnDisk


@pytest.fixture
def read(tmp_path):
    """Reads utterances of an experiment with one that is too short among them."""
    model = make_experiment(tmp_path / "exp", "conformer")
    config, task = load_config(tmp_path / "exp" / "config.yaml"), load_task("asr")
    scp, text = write_audio(tmp_path, 6), write_text(tmp_path, 6)

    def call(utterances, samples, function=calibration_inputs):
        soundfile.write(tmp_path / "utt2.wav", samples, 16000, subtype="FLOAT")
        data = [f"{scp},speech,sound", f"{text},text,text"]
        return function(task, model, config, utterances, data)

    call.model = model
    return call


@pytest.mark.parametrize("samples", [50, 800])
def test_utterances_that_are_too_short_are_left_out(read, samples):
    found = read(100, np.full(samples, 0.1))
    assert isinstance(found, OnDisk)
    assert [len(inputs.lengths) for inputs in found] == [1] * 5
    assert all(inputs.features.size(1) == inputs.lengths[0] for inputs in found)


def test_the_choice_is_the_same_every_time(read):
    first, second = (read(3, np.full(16000, 0.1)) for _ in range(2))
    assert len(first) == len(second) == 3
    for one, other in zip(first, second):
        assert torch.equal(one.features, other.features)


def test_audio_that_is_not_finite_is_refused(read):
    with pytest.raises(ValueError, match=r"wav.scp: the features .* not all finite"):
        read(100, np.full(16000, np.nan))


def test_audio_that_cannot_be_read_is_refused(read, tmp_path):
    (tmp_path / "utt4.wav").unlink()
    with pytest.raises(ValueError, match="cannot read audio to calibrate on"):
        read(100, np.full(16000, 0.1))


@pytest.mark.parametrize("samples", [50, 800])
def test_what_the_decoder_reads(read, samples):
    """The output of the encoder, and the text after the start symbol."""
    silence = np.full(samples, 0.1)
    found, features = read(100, silence, teacher_forced_inputs), read(100, silence)
    assert isinstance(found, OnDisk) and len(found) == len(features) == 5
    words = ["▁A ▁B", "C", "▁A ▁B", "C", "▁B C ▁A"]
    for inputs, before, text in zip(found, features, words):
        tokens = [TOKENS.index(token) for token in ["<sos/eos>", *text.split()]]
        assert inputs.options["ys_in_pad"].tolist() == [tokens]
        assert inputs.options["ys_in_lens"].tolist() == [len(tokens)]
        with torch.no_grad():
            expected, _, _ = before.run(read.model.encoder)
        assert torch.allclose(inputs.features, expected, atol=1e-5)
