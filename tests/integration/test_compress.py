"""``adaprune compress``: data from commands, models from a hub, and short trainings."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from support.model_services import ModelHub
from support.packed_models import make_recipe, pack

from espnet_adaptive_dropout.compress.audio import read_data
from espnet_adaptive_dropout.compress.source import open_source
from espnet_adaptive_dropout.compress.waves import Recording, as_wave
from espnet_adaptive_dropout.compress.written import write_data
from espnet_adaptive_dropout.experiments.experiment import open_model
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
    import zipfile

    from huggingface_hub import constants

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
