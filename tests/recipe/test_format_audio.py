"""Stage 3's job: audio of one kind."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import soundfile
from common import RecipeError, read_table
from format_audio import cut_segment
from support.paths import RECIPE

SCRIPT = RECIPE / "local" / "tools" / "format_audio.py"


@pytest.fixture
def form(tmp_path):
    def run(scp, *options):
        (tmp_path / "wav.scp").write_text(scp)
        command = [sys.executable, str(SCRIPT), "--scp", "wav.scp", "--fs", "16000"]
        command += ["--audio_dir", "audio", *options]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    return run


def test_right_files_stay_and_others_are_converted(tmp_path, write_sine, form):
    good = write_sine("good.flac")
    done = form(f"a {good}\nb {write_sine('b.wav')}\nc {write_sine('c.flac', 8000)}\n")
    assert done.returncode == 0, done.stderr
    paths = read_table(tmp_path / "audio/wav.scp")
    assert paths["a"] == str(good)
    assert paths["b"] == "audio/b.flac"
    counts = read_table(tmp_path / "audio/utt2num_samples")
    assert counts == {"a": "8000", "b": "8000", "c": "8000"}
    samples, rate = soundfile.read(tmp_path / paths["c"])
    assert (rate, len(samples)) == (16000, 8000)
    spectrum = np.abs(np.fft.rfft(samples))
    assert spectrum.argmax() * rate / len(samples) == pytest.approx(440, abs=2)


def test_commands_are_run(tmp_path, write_sine, form):
    path = write_sine("a.flac")
    done = form(f"a cat {path} | cat |\n")
    assert done.returncode == 0, done.stderr
    assert read_table(tmp_path / "audio/wav.scp") == {"a": "audio/a.flac"}
    whole = soundfile.read(path)[0]
    np.testing.assert_array_equal(soundfile.read(tmp_path / "audio/a.flac")[0], whole)


def test_other_sample_widths_are_converted(tmp_path, write_sine, form):
    samples, rate = soundfile.read(write_sine("a.flac"))
    soundfile.write(tmp_path / "wide.flac", samples, rate, subtype="PCM_24")
    assert form(f"a {tmp_path / 'wide.flac'}\n").returncode == 0
    assert soundfile.info(tmp_path / "audio/a.flac").subtype == "PCM_16"


def test_segments(tmp_path, write_sine, form):
    path = write_sine("rec.flac", seconds=2.0)
    (tmp_path / "segments").write_text("u1 rec 0.5 1.25\nu2 rec 1.5 -1\nu3 no 0 1\n")
    done = form(f"rec {path}\n", "--segments", "segments")
    assert done.returncode == 0, done.stderr
    counts = read_table(tmp_path / "audio/utt2num_samples")
    assert counts == {"u1": "12000", "u2": "8000"}
    whole, part = soundfile.read(path)[0], soundfile.read(tmp_path / "audio/u1.flac")[0]
    np.testing.assert_array_equal(part, whole[8000:20000])


def test_segment_outside_the_recording():
    with pytest.raises(RecipeError, match="u: segment 3.0-4.0 s is not inside"):
        cut_segment("u", np.zeros(16000), 16000, 3.0, 4.0)


def damaged(tmp_path, write_sine, kind):
    if kind == "cut off":
        path = write_sine("x.flac", seconds=3.0)
        path.write_bytes(path.read_bytes()[:-2000])
        return str(path)
    if kind == "not audio":
        (tmp_path / "x.flac").write_text("this is not audio")
        return str(tmp_path / "x.flac")
    if kind == "stereo":
        return str(write_sine("x.wav", channels=2))
    return {"missing": "no/such.flac", "failing command": "cat no/such.wav |"}[kind]


@pytest.mark.parametrize(
    "kind, said",
    [
        ("cut off", "x.flac"),
        ("not audio", "cannot be read as audio"),
        ("stereo", "has 2 channels"),
        ("missing", "there is no audio file no/such.flac"),
        ("failing command", "'cat no/such.wav' failed: cat: no/such.wav: No such"),
    ],
)
def test_bad_audio_is_one_line_and_leaves_no_list(
    tmp_path, write_sine, form, kind, said
):
    entry = damaged(tmp_path, write_sine, kind)
    done = form(f"a {write_sine('a.flac')}\nutt {entry}\n")
    assert done.returncode == 1
    assert done.stderr.startswith("format_audio.py: error: utt: ")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "audio/wav.scp").exists()
