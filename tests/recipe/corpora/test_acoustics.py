"""Voice filter, room, noise, level."""

import dataclasses

import numpy as np
import pytest
from synth.acoustics import CLEAN, OTHER, PEAK_LIMIT, make_room, record
from synth.speakers import make_speaker

SPEAKER = make_speaker(1, "F", np.random.default_rng(0))


def buzz(seconds: float = 1.0) -> np.ndarray:
    """A pulse train at 22050 Hz with zeros around it, as eSpeak would give it."""
    sound = np.zeros(int(22050 * seconds))
    sound[::150] = 20000
    return np.pad(sound, (3000, 5000)).astype(np.int16)


def recorded(room, seed: int = 5) -> np.ndarray:
    return record(buzz(), SPEAKER, room, np.random.default_rng(seed))


@pytest.mark.parametrize("conditions", [CLEAN, OTHER])
def test_form_and_level(conditions):
    rng = np.random.default_rng(2)
    for _ in range(20):
        room = make_room(conditions, rng)
        sound = recorded(room)
        assert sound.dtype == np.int16
        # 1 s, up to 4 % longer or shorter, with 0.24-0.8 s of silence
        assert 1.15 < len(sound) / 16000 < 1.9
        assert np.abs(sound).max() <= np.ceil(PEAK_LIMIT * 32767)
        level = 10 * np.log10(np.mean((sound / 32768) ** 2))
        assert -36 < level < -12


def test_noise_is_as_strong_as_the_room_says():
    room = make_room(CLEAN, np.random.default_rng(0))
    quiet = recorded(dataclasses.replace(room, snr=200.0)).astype(float)
    for snr in (5.0, 15.0):
        noise = recorded(dataclasses.replace(room, snr=snr)) - quiet
        measured = 10 * np.log10(np.mean(quiet**2) / np.mean(noise**2))
        assert measured == pytest.approx(snr, abs=0.3)


def test_hum_is_at_the_mains_frequency():
    room = make_room(OTHER, np.random.default_rng(0))
    room = dataclasses.replace(room, hum=50.0, snr=-20.0, colour=0.0)
    sound = recorded(room)
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
    peak = np.argmax(spectrum) * 16000 / len(sound)
    assert peak == pytest.approx(50, abs=1.5)


def test_other_is_noisier_and_more_reverberant_than_clean():
    assert OTHER.snr[1] < CLEAN.snr[0]
    rng = np.random.default_rng(4)

    def late_energy(conditions) -> float:
        responses = [make_room(conditions, rng).response for _ in range(30)]
        return float(np.mean([np.sum(r[480:] ** 2) for r in responses]))

    assert late_energy(OTHER) > 3 * late_energy(CLEAN)


def test_same_seed_same_samples():
    room = make_room(OTHER, np.random.default_rng(0))
    np.testing.assert_array_equal(recorded(room), recorded(room))
    assert len(recorded(room)) != len(recorded(room, seed=6))
