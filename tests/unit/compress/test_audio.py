"""Data directories and folders of audio."""

import numpy as np
import pytest
import soundfile

from espnet_adaptive_dropout.compress.audio import Utterance, read_data
from espnet_adaptive_dropout.compress.selection import chosen, hold_out, usable
from espnet_adaptive_dropout.compress.waves import Recording, as_wave, seconds
from espnet_adaptive_dropout.compress.written import write_data
from espnet_adaptive_dropout.experiments.tables import read_table

RATE = 16000


def tone(path, length=0.5, rate=RATE, channels=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = 0.5 * np.sin(2 * np.pi * 440 * np.arange(round(rate * length)) / rate)
    soundfile.write(path, np.stack([wave] * channels, axis=1), rate)
    return path


@pytest.fixture
def kaldi(tmp_path):
    """A data directory with relative paths, from which one is not called."""
    data = tmp_path / "recipe" / "data" / "dev"
    tone(tmp_path / "recipe" / "wavs" / "a.wav")
    tone(tmp_path / "recipe" / "wavs" / "b.flac")
    data.mkdir(parents=True)
    (data / "wav.scp").write_text("s1-a wavs/a.wav\ns1-b wavs/b.flac\n")
    (data / "utt2spk").write_text("s1-a s1\ns1-b s1\n")
    (data / "text").write_text("s1-a THE CAT\ns1-b A\n")
    return data


def test_a_kaldi_directory(kaldi, tmp_path):
    found = read_data([kaldi])
    written = write_data(found, tmp_path / "out", RATE)
    assert read_table(tmp_path / "out" / "wav.scp") == {
        name: str(tmp_path / "recipe" / "wavs" / file)
        for name, file in (("s1-a", "a.wav"), ("s1-b", "b.flac"))
    }
    assert read_table(tmp_path / "out" / "spk2utt") == {"s1": "s1-a s1-b"}
    assert read_table(tmp_path / "out" / "text") == {"s1-a": "THE CAT", "s1-b": "A"}
    out = tmp_path / "out"
    assert written.triplets == [
        (f"{out}/wav.scp", "speech", "sound"),
        (f"{out}/text", "text", "text"),
    ]


def test_a_text_that_some_lack_is_not_written(kaldi, tmp_path):
    (kaldi / "text").write_text("s1-a THE CAT\n")
    written = write_data(read_data([kaldi]), tmp_path / "out", RATE)
    assert written.texts == [] and not (tmp_path / "out" / "text").exists()


def test_segments_become_files(kaldi, tmp_path):
    file = kaldi.parents[1] / "wavs" / "a.wav"
    (kaldi / "wav.scp").write_text(f"rec {file}\n")
    (kaldi / "segments").write_text("s1-a rec 0.1 0.3\ns1-b rec 0.25 0.5\n")
    write_data(read_data([kaldi]), tmp_path / "out", RATE)
    whole, _ = soundfile.read(file)
    for name, first, last in (("s1-a", 1600, 4800), ("s1-b", 4000, 8000)):
        wave, rate = soundfile.read(read_table(tmp_path / "out" / "wav.scp")[name])
        assert rate == RATE
        np.testing.assert_allclose(wave, whole[first:last], atol=1e-4)


def test_archives_stay_where_they_are(tmp_path):
    data = tmp_path / "dev"
    data.mkdir()
    (data / "data.ark").write_bytes(b"")
    (data / "wav.scp").write_text(f"a {data}/data.ark:7\nb {data}/data.ark:99\n")
    utterances = read_data([data])
    assert usable(utterances) == (utterances, 0)
    written = write_data(utterances, tmp_path / "out", RATE)
    assert written.speech == (f"{tmp_path}/out/wav.scp", "speech", "kaldi_ark")
    assert read_table(written.speech[0])["b"] == f"{data}/data.ark:99"
    utterances["c"] = Utterance(Recording(str(tone(tmp_path / "c.wav"))), "c")
    with pytest.raises(ValueError, match="some audio is in archives"):
        write_data(utterances, tmp_path / "out", RATE)


def test_a_folder_of_files(tmp_path):
    tone(tmp_path / "in" / "my file.wav")
    tone(tmp_path / "in" / "my file.ogg")
    tone(tmp_path / "in" / "deep" / "er" / "b.FLAC")
    (tmp_path / "in" / "notes.txt").write_text("no audio")
    found = read_data([tmp_path / "in"])
    assert list(found) == ["deep-er-b", "my-file", "my-file-wav"]
    assert all(one.texts == {} for one in found.values())


def test_names_of_several_directories_stay_apart(kaldi, tmp_path):
    tone(tmp_path / "other" / "s1-a.wav")
    found = read_data([kaldi, tmp_path / "other"])
    assert list(found) == ["s1-a", "s1-b", "other-s1-a"]


def test_other_rates_and_channels_are_converted_once(tmp_path):
    path = tone(tmp_path / "a.wav", 0.5, 8000, 2)
    found = as_wave(Recording(str(path)), tmp_path / "out" / "a.wav", RATE)
    wave, rate = soundfile.read(found)
    assert found == f"{tmp_path}/out/a.wav"
    assert (rate, wave.shape) == (RATE, (8000,))
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(8000) / RATE)
    np.testing.assert_allclose(wave[500:-500], expected[500:-500], atol=0.01)
    path.unlink()
    made = Recording(f"cat {path} |")
    assert as_wave(made, tmp_path / "out" / "a.wav", RATE) == found


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "no wav.scp and no .wav, .flac, .ogg file"),
        ({"dev/wav.scp": ""}, "directories in it have: give one of them"),
        ({"wav.scp": ""}, "its wav.scp is empty"),
        ({"wav.scp": "a none.wav\n"}, "wav.scp names none.wav, which is not there"),
        ({"wav.scp": "r x|\n", "segments": "a r 1\n"}, "segments has 'a r 1'"),
    ],
)
def test_directories_without_audio(tmp_path, files, message):
    (tmp_path / "in").mkdir()
    for name, content in files.items():
        (tmp_path / "in" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_text(content)
    with pytest.raises(ValueError, match=f"^--data {tmp_path}/in: .*{message}"):
        read_data([tmp_path / "in"])


def test_a_missing_directory_and_a_broken_file(tmp_path):
    with pytest.raises(ValueError, match="no such directory"):
        read_data([tmp_path / "none"])
    (tmp_path / "a.wav").write_bytes(b"no audio")
    with pytest.raises(ValueError, match="a.wav: cannot be read as audio"):
        usable(read_data([tmp_path]))


def many(number, length=2.0):
    return {
        f"u{i:03}": Utterance(Recording("x |", 0.0, length), "s") for i in range(number)
    }


@pytest.mark.parametrize(
    ("number", "length", "share", "out"),
    [
        (2, 2.0, 0.1, 1),
        (10, 2.0, 0.1, 5),
        (40, 2.0, 0.1, 8),
        (400, 2.0, 0.1, 40),
        (5000, 2.0, 0.1, 300),
        (5000, 30.0, 0.1, 40),
    ],
)
def test_how_many_are_held_out(number, length, share, out):
    utterances = many(number, length)
    kept, held = hold_out(utterances, share)
    assert len(held) == out
    assert sorted([*kept, *held]) == sorted(utterances)
    assert hold_out(utterances, share)[1] == held


def test_one_utterance_is_not_enough():
    with pytest.raises(ValueError, match="at least 2 are needed"):
        hold_out(many(1))


def test_choice_within_the_minutes():
    utterances = many(50, 6.0)
    assert len(chosen(utterances, 100, 60.0)) == 50
    some = chosen(utterances, 30, 1.0)
    assert len(some) == 10 and list(some) == sorted(some)
    assert len(chosen(utterances, 30, 0.01)) == 1


def test_too_short_and_too_long_ones_are_left_out():
    utterances = {**many(3), "long": Utterance(Recording("x |", 0.0, 60.0), "s")}
    utterances["short"] = Utterance(Recording("x |", 1.0, 1.05), "s")
    kept, left_out = usable(utterances)
    assert list(kept) == ["u000", "u001", "u002"] and left_out == 2
    assert seconds(Recording("x |")) is None
