"""Speakers."""

import dataclasses

import numpy as np
import pytest
from synth.espeak import Prosody, synthesize, voice_directory
from synth.speakers import ACCENTS, make_speaker


def test_same_seed_same_speaker():
    one, two = (make_speaker(7, "F", np.random.default_rng(3)) for _ in range(2))
    assert one == two
    assert dataclasses.asdict(one)["reader"] == 7


def test_speakers_differ_and_use_every_accent():
    rng = np.random.default_rng(0)
    speakers = [make_speaker(n, "FM"[n % 2], rng) for n in range(200)]
    assert len({speaker.variant for speaker in speakers}) == 200
    assert {speaker.accent for speaker in speakers} == set(ACCENTS)
    assert sum("klatt" in speaker.variant for speaker in speakers) > 10


def test_women_speak_higher():
    rng = np.random.default_rng(0)

    def mean_pitch(sex: str) -> float:
        variants = [make_speaker(n, sex, rng).variant for n in range(50)]
        lines = [line for v in variants for line in v.split("\n") if "pitch" in line]
        return float(np.mean([int(line.split()[1]) for line in lines]))

    assert mean_pitch("F") > 1.4 * mean_pitch("M")


@pytest.mark.parametrize("accent", ACCENTS)
def test_espeak_knows_every_accent(accent, tmp_path):
    speaker = make_speaker(1, "M", np.random.default_rng(1))
    with voice_directory(speaker.variant, tmp_path) as voice:
        sound = synthesize("zero", accent, Prosody(150, 50, 50, 0), voice)
    assert 0.2 < len(sound) / 22050 < 2
