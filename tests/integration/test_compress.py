"""``adaprune compress``: data from commands, models from a hub, and short trainings."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from support.model_services import ModelHub
from support.packed_models import make_recipe, pack, write_folder

from espnet_adaptive_dropout.bin import compress
from espnet_adaptive_dropout.compress import train_command
from espnet_adaptive_dropout.compress.audio import read_data
from espnet_adaptive_dropout.compress.length import Length
from espnet_adaptive_dropout.compress.source import open_source
from espnet_adaptive_dropout.compress.waves import Recording, as_wave
from espnet_adaptive_dropout.compress.written import write_data
from espnet_adaptive_dropout.experiments.experiment import (
    load_checkpoint,
    open_model,
)
from espnet_adaptive_dropout.experiments.tables import read_table

RATE = 16000


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """A packed stock model."""
    return pack(make_recipe(tmp_path_factory.mktemp("models") / "recipe"))


def test_audio_from_commands_in_segments(tmp_path):
    """As Kaldi's recipes for telephone speech have it."""
    wave = np.linspace(-0.5, 0.5, 8000)
    soundfile.write(tmp_path / "a.wav", wave, RATE)
    (tmp_path / "wav.scp").write_text(f"rec cat {tmp_path}/a.wav |\n")
    (tmp_path / "segments").write_text("b rec 0.1 0.3\na rec 0.25 0.5\n")
    write_data(read_data([tmp_path]), tmp_path / "out", RATE)
    for name, first, last in (("b", 1600, 4800), ("a", 4000, 8000)):
        path = read_table(tmp_path / "out" / "wav.scp")[name]
        found, rate = soundfile.read(path)
        assert rate == RATE
        np.testing.assert_allclose(found, wave[first:last], atol=1e-4)


def test_a_command_that_fails_is_named(tmp_path):
    with pytest.raises(ValueError, match="^cat none 2> /dev/null .: ended with status"):
        as_wave(Recording("cat none 2> /dev/null |"), tmp_path / "a.wav", RATE)


@pytest.fixture
def hub(packed, tmp_path, monkeypatch):
    """A hub on this machine with the model, which huggingface_hub is told to use."""
    from espnet_model_zoo import downloader
    from huggingface_hub import constants

    # Older releases keep models beside this file and its table.
    (tmp_path / "cache").mkdir()
    shutil.copy(Path(downloader.__file__).with_name("table.csv"), tmp_path / "cache")
    monkeypatch.setattr(downloader, "__file__", str(tmp_path / "cache" / "x.py"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    with ModelHub("secret") as service:
        template = service.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", service.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        with zipfile.ZipFile(packed) as archive:
            content = {name: archive.read(name) for name in archive.namelist()}
        service.repositories["me/model"] = content
        yield service


def test_a_published_model(hub, tmp_path):
    source = open_source("me/model", tmp_path / "work")
    assert source.root.is_relative_to(tmp_path / "cache")
    config, _ = open_model("asr", source.config_file, source.model_file)
    assert config["bpemodel"] == str(source.root / "data/token_list/bpe/bpe.model")
    asked = len(hub.requests)
    assert asked
    open_source("me/model", tmp_path / "again")
    with pytest.raises(ValueError, match="^me/none: no file .* not on the Hugging Fa"):
        open_source("me/none", tmp_path / "work")


def test_a_published_model_without_a_connection(hub, tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match="no connection to the Hugging Face hub"):
        open_source("me/model", tmp_path / "work")
    assert hub.requests == []


QUICK = (
    "--use_matplotlib false --use_tensorboard false --num_workers 0 --log_interval 1"
)


@pytest.fixture
def folder(tmp_path):
    """Audio without transcripts."""
    return write_folder(tmp_path / "audio", 24)


def short(model, folder, output, *options):
    command = [str(model), "--data", str(folder), "--output_dir", str(output)]
    command += ["--target_reduction", "0.4", "--epochs", "30", "--train_args", QUICK]
    compress.main([*command, *options])


def epochs_in(checkpoint):
    """Epochs of a training, from its checkpoint; 0 while that is written."""
    try:
        return load_checkpoint(checkpoint)["reporter"]["epoch"]
    except ValueError:
        return 0


def wait_until(is_true, seconds=60):
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_short_training_goes_on_after_an_interruption(
    packed, folder, tmp_path, monkeypatch, capsys
):
    """A CTC model without transcripts; the zip opens where nothing else is."""
    said = []

    def interrupt(number, results):
        said.append(number)
        if number == "2" and said.count("2") == 1:
            # ESPnet writes the checkpoint after this line
            wait_until(lambda: epochs_in(training / "checkpoint.pth") >= 2)
            raise KeyboardInterrupt
        return summary(number, results)

    summary = train_command.epoch_summary
    monkeypatch.setattr(train_command, "epoch_summary", interrupt)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    output = tmp_path / "small"
    training = tmp_path / "small.work" / "training"
    with pytest.raises(SystemExit) as stop:
        short(packed, folder, output)
    assert stop.value.code == 130 and not output.exists()
    with pytest.raises(SystemExit) as stop:
        short(packed, folder, output, "--target_reduction", "0.5")
    assert "--target_reduction 0.5 (was 0.4); start it with" in str(stop.value.code)
    assert (training / "checkpoint.pth").exists()
    log = tmp_path / "log"
    os.link(training / "train.log", log)
    short(packed, folder, output)
    assert "The training was resumed using" in log.read_text()
    assert said[:2] == ["1", "2"] and said[-1] == "10" and said.count("1") == 1
    assert not training.exists()
    report = json.loads((output / "compress.json").read_text())
    assert report["certificate"]["holds"] and report["training"]["steps"] == 30
    assert report["reduction"] == pytest.approx(0.4, abs=0.02)
    assert report["data"]["labelled_by_model"] == report["data"]["utterances"] == 16
    text = capsys.readouterr().out
    assert "warning: the training has 30 updates" in text
    config = yaml.safe_load((output / "config.yaml").read_text())
    assert str(tmp_path / "small.work") not in (output / "config.yaml").read_text()
    assert config["train_shape_file"] == []
    with zipfile.ZipFile(output / "small.zip") as archive:
        archive.extractall(tmp_path / "opened")
    assert "small.work" not in (tmp_path / "opened/exp/small/config.yaml").read_text()
    shutil.move(output / "small.zip", tmp_path / "moved.zip")
    shutil.rmtree(output)
    from espnet2.bin.asr_inference import Speech2Text

    recognise = Speech2Text.from_pretrained(
        str(tmp_path / "moved.zip"), beam_size=1, ctc_weight=1.0
    )
    recognise(np.random.default_rng(0).normal(0, 0.1, 16000))


def test_a_training_that_fails_is_one_line(tmp_path, monkeypatch):
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\necho begun\necho 'Error: $5 is odd'\nexit 3\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    message = f"the training failed: Error: $5 is odd; see {tmp_path}/exp/train.log"
    with pytest.raises(ValueError) as failure:
        train_command.train(
            "asr", tmp_path / "a.yaml", tmp_path / "exp", Length(10, 1), [], print
        )
    assert str(failure.value) == message
    assert (tmp_path / "exp/train.log").read_text().startswith("begun\n")
