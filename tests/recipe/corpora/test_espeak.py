"""eSpeak NG through ctypes."""

import sys
import types
from pathlib import Path

import numpy as np
import pytest
from synth import espeak
from synth.errors import SynthError
from synth.espeak import Prosody, synthesize, voice_directory

BREATHY = "language variant\nname speaker\npitch 90 130\nbreath 3 3 3 3 3 3 3 3\n"
USUAL = Prosody(rate=160, pitch=50, pitch_range=50, word_gap=1)


@pytest.fixture
def voice(tmp_path):
    with voice_directory(BREATHY, tmp_path) as directory:
        yield directory


def test_same_bytes_after_other_text(voice):
    first = synthesize("seven one", "en-us", USUAL, voice)
    synthesize("nine nine four", "en", USUAL, voice)
    again = synthesize("seven one", "en-us", USUAL, voice)
    np.testing.assert_array_equal(first, again)
    assert first.dtype == np.int16
    assert np.abs(first).max() > 1000


def test_rate_and_accent_and_variant_change_the_sound(voice, tmp_path):
    usual = synthesize("seven one", "en-us", USUAL, voice)
    slow = synthesize("seven one", "en-us", Prosody(100, 50, 50, 1), voice)
    british = synthesize("seven one", "en-gb-x-rp", USUAL, voice)
    with voice_directory("language variant\npitch 180 260\n", tmp_path) as other:
        high = synthesize("seven one", "en-us", USUAL, other)
    assert len(slow) > 1.2 * len(usual)
    assert not np.array_equal(usual, british[: len(usual)])
    assert not np.array_equal(usual, high[: len(usual)])


def test_directory_is_removed(tmp_path):
    with voice_directory(BREATHY, tmp_path) as directory:
        assert (directory / "voices" / "!v" / espeak.VARIANT).exists()
    assert list(tmp_path.iterdir()) == []


def test_unknown_voice_is_named(voice):
    with pytest.raises(SynthError, match="no voice xx-nowhere"):
        synthesize("one", "xx-nowhere", USUAL, voice)


def test_text_without_sound_is_named(voice):
    with pytest.raises(SynthError, match="no sound for ''"):
        synthesize("", "en-us", USUAL, voice)


def test_broken_data_directory_is_named(tmp_path):
    with pytest.raises(SynthError, match="cannot use its data in"):
        synthesize("one", "en-us", USUAL, tmp_path)


def test_too_long_a_path_is_refused(tmp_path):
    deep = tmp_path / Path("d" * espeak._MAX_PATH)
    deep.mkdir()
    with pytest.raises(SynthError, match="set TMPDIR"):
        with voice_directory(BREATHY, deep):
            pass


def test_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(SynthError, match="pip install espeakng-loader"):
        with voice_directory(BREATHY, tmp_path):
            pass


def test_a_library_that_does_not_load_is_named(tmp_path, voice, monkeypatch):
    broken = tmp_path / "libespeak-ng.so"
    broken.write_bytes(b"not a library")
    loader = types.SimpleNamespace(get_library_path=lambda: str(broken))
    monkeypatch.setattr(espeak, "_loader", lambda: loader)
    with pytest.raises(SynthError, match="libespeak-ng.so does not load"):
        synthesize("one", "en-us", USUAL, voice)
