"""Stage 2's job: other speeds."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
import soundfile
from audio import change_speed
from common import RecipeError, read_table
from perturb_speed import parse_factor
from support.paths import RECIPE

SCRIPT = RECIPE / "local" / "tools" / "perturb_speed.py"


@pytest.mark.parametrize("factor", ["0.9", "1.1", "2"])
def test_duration_and_pitch_change(tmp_path, write_sine, factor):
    path = write_sine("a.flac", seconds=1.0)
    (tmp_path / "wav.scp").write_text(f"s-a {path}\n")
    command = [sys.executable, str(SCRIPT), "--scp", "wav.scp", "--factor", factor]
    command += ["--audio_dir", "audio", "--out", "out"]
    subprocess.run(command, cwd=tmp_path, check=True)
    table = read_table(tmp_path / "out.scp")
    assert list(table) == [f"sp{factor}-s-a"]
    samples, rate = soundfile.read(tmp_path / table[f"sp{factor}-s-a"])
    assert rate == 16000
    assert len(samples) == pytest.approx(16000 / float(factor), abs=1)
    peak = np.abs(np.fft.rfft(samples)).argmax() * rate / len(samples)
    assert peak == pytest.approx(440 * float(factor), abs=2)


def test_length_is_that_of_sox():
    # as sox 14.4.2 was seen to round
    for length, factor, expected in (
        (1000, "1.1", 909),
        (1000, "0.9", 1111),
        (1007, "1.1", 915),
        (15999, "0.9", 17777),
        (1234, "0.8", 1543),
    ):
        assert len(change_speed(np.ones(length), Fraction(factor))) == expected


def test_amplitude_is_kept():
    time = np.arange(16000) / 16000
    faster = change_speed(np.sin(2 * np.pi * 300 * time), Fraction("1.1"))
    assert np.abs(faster[1000:-1000]).max() == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("text", ["fast", "0", "-1", "1/0", "11"])
def test_wrong_factors(text):
    with pytest.raises(RecipeError, match="speed factor"):
        parse_factor(text)
