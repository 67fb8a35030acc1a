"""LibriSpeech's files."""

import re

import numpy as np
import pytest
import soundfile
from support.recipe_synth import SCALE, contents, small_corpus
from synth.layout import write_chapter
from synth.plan import make_plan
from synth.sizes import SIZES
from synth.text import DIGITS

SUBSETS = [subset.name for subset in SIZES["smoke"].subsets]


@pytest.fixture(scope="module")
def corpus():
    return small_corpus()


def rows(path) -> list:
    lines = path.read_text().splitlines()
    return [line.split("|") for line in lines if not line.startswith(";")]


def test_files_are_named_and_placed_as_in_librispeech(corpus):
    form = re.compile(
        r"(?P<subset>[a-z0-9-]+)/(?P<r>\d+)/(?P<c>\d+)/(?P=r)-(?P=c)"
        r"(-\d{4}\.flac|\.trans\.txt)"
    )
    tables = {"SPEAKERS", "CHAPTERS", "BOOKS", "LICENSE", "README"}
    subsets = set()
    for name in contents(corpus):
        if "/" in name:
            match = form.fullmatch(name)
            assert match, name
            subsets.add(match["subset"])
        else:
            assert name == ".settings.json" or name[:-4] in tables
    assert subsets == set(SUBSETS)


def test_every_transcript_has_audio_and_the_other_way_round(corpus):
    for transcript in corpus.rglob("*.trans.txt"):
        lines = transcript.read_text().splitlines()
        names = [line.split(" ", 1)[0] for line in lines]
        assert names == sorted(path.stem for path in transcript.parent.glob("*.flac"))
        assert [int(name[-4:]) for name in names] == list(range(len(names)))
        assert {w for line in lines for w in line.split()[1:]} <= set(DIGITS)


def test_audio_is_16_khz_mono_16_bit_with_signal_and_without_clipping(corpus):
    for path in corpus.rglob("*.flac"):
        info = soundfile.info(path)
        assert (info.samplerate, info.channels) == (16000, 1)
        assert (info.format, info.subtype) == ("FLAC", "PCM_16")
        assert 1 < info.duration < 6
        sound = soundfile.read(path)[0]
        assert np.abs(sound).max() < 0.9
        assert -40 < 10 * np.log10(np.mean(sound**2)) < -14


def test_tables_agree_with_the_files(corpus):
    chapters = rows(corpus / "CHAPTERS.TXT")
    speakers = rows(corpus / "SPEAKERS.TXT")
    folders = {p.parent for p in corpus.rglob("*.trans.txt")}
    assert len(chapters) == len(folders)
    minutes = dict.fromkeys((int(row[0]) for row in speakers), 0.0)
    for number, reader, length, subset, *_ in chapters:
        folder = corpus / subset.strip() / reader.strip() / number.strip()
        assert folder in folders
        seconds = sum(soundfile.info(p).duration for p in folder.glob("*.flac"))
        assert float(length) == pytest.approx(seconds / 60, abs=0.006)
        minutes[int(reader)] += float(length)
    for reader, sex, subset, length, name in speakers:
        assert sex.strip() in ("F", "M")
        assert (corpus / subset.strip() / reader.strip()).is_dir()
        assert float(length) == pytest.approx(minutes[int(reader)], abs=0.02)
        assert name.strip()


def test_readme_says_what_it_is(corpus):
    readme = (corpus / "README.TXT").read_text()
    assert "say nothing about word error rates on LibriSpeech" in readme
    assert f"--size smoke --scale {SCALE}" in readme
    assert "eSpeak NG (GPL-3.0-or-later" in (corpus / "LICENSE.TXT").read_text()


def test_an_unwritable_place_is_an_os_error(tmp_path):
    chapter = make_plan(SIZES["smoke"].scaled(0.01), seed=1)[0]
    (tmp_path / chapter.subset.name).write_text("in the way")
    with pytest.raises(OSError):
        write_chapter(tmp_path, chapter, [np.zeros(1600, np.int16)])
