"""The stand-in for sox."""

from __future__ import annotations

import io
import subprocess

import numpy as np
import pytest
import soundfile
from support.paths import RECIPE

SOX = RECIPE / "local/bin/sox"


def pitch(samples, rate):
    return np.abs(np.fft.rfft(samples)).argmax() * rate / len(samples)


@pytest.mark.parametrize("factor", [0.9, 1.1])
@pytest.mark.parametrize("piped", [True, False])
def test_speed_and_pitch_change(write_sine, factor, piped):
    path = write_sine("a.flac", seconds=1.0)
    command = f"{SOX} {path} -t wav - speed {factor}"
    if piped:
        wav = f"{SOX} {path} -t wav - speed 1.0"
        command = f"{wav} | {SOX} -t wav - -t wav - speed {factor}"
    done = subprocess.run(command, shell=True, capture_output=True, check=True)
    samples, rate = soundfile.read(io.BytesIO(done.stdout))
    assert (rate, len(samples)) == (16000, round(16000 / factor))
    assert pitch(samples, rate) == pytest.approx(440 * factor, abs=2)
    assert np.abs(samples).max() == pytest.approx(0.5, abs=0.01)


def test_commands_of_a_data_directory_become_files(write_sine, tmp_path):
    path = write_sine("a.flac", seconds=1.0)
    scp = f"sp0.9-a sox {path} -t wav - speed 0.9 |\na {path}\n"
    (tmp_path / "wav.scp").write_text(scp)
    subprocess.run([SOX, "--convert", tmp_path, "1"], check=True, capture_output=True)
    new = tmp_path / "audio/sp0.9-a.flac"
    assert (tmp_path / "wav.scp").read_text() == f"sp0.9-a {new}\na {path}\n"
    samples, rate = soundfile.read(new)
    assert (rate, len(samples)) == (16000, round(16000 / 0.9))
    (tmp_path / "wav.scp").write_text(f"b sox {path} -t wav - speed 99 |\n")
    command = [SOX, "--convert", tmp_path, "1"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == f"sox: {path}: speed 99.0 is not from 0.1 to 10\n"
    assert "speed" in (tmp_path / "wav.scp").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["in.wav", "out.wav"], "does not know: sox in.wav out.wav"),
        (["no.wav", *"-t wav - speed 0.9".split()], "sox: no.wav: "),
    ],
)
def test_errors_are_one_line(words, message):
    done = subprocess.run([SOX, *words], capture_output=True, text=True)
    assert done.returncode == 1
    assert message in done.stderr and done.stderr.count("\n") == 1
