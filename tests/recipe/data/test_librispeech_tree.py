"""Reading and checking trees in LibriSpeech's form."""

import numpy as np
import pytest
import soundfile
from corpus_table import CorpusError
from librispeech_tree import (
    check_audio,
    find_root,
    find_subsets,
    read_genders,
    read_subset,
)
from support import tiny_corpus


@pytest.fixture
def chapter(tmp_path):
    tiny_corpus.write_subset(tmp_path, "test-clean")
    return tmp_path / "test-clean" / "61" / "70968"


def read(root, subset="test-clean"):
    return read_subset(root, subset, read_genders(root))


def transcript(chapter):
    return chapter / "61-70968.trans.txt"


def test_utterances_carry_kaldi_ids(tmp_path):
    tiny_corpus.write_subset(tmp_path, "dev-clean")
    utterances = read(tmp_path, "dev-clean")
    first = utterances[0]
    assert first.utt_id == "1272-128104-0000"
    assert first.speaker == "1272-128104"
    assert first.gender == "m"
    assert first.text == "READER DEV-CLEAN SAYS 0"
    assert first.audio == str(tmp_path / "dev-clean/1272/128104/1272-128104-0000.flac")
    # C locale: 1272-... before 84-...
    assert [u.utt_id for u in utterances] == sorted(u.utt_id for u in utterances)
    assert utterances[-1].gender == "f"


def test_root_may_be_the_directory_or_its_librispeech(tmp_path):
    tiny_corpus.write_subset(tmp_path / "a" / "LibriSpeech", "dev-clean")
    tiny_corpus.write_subset(tmp_path / "b", "dev-clean")
    assert find_root(tmp_path / "a") == tmp_path / "a" / "LibriSpeech"
    assert find_root(tmp_path / "b") == tmp_path / "b"
    assert find_subsets(tmp_path / "b") == ["dev-clean"]


@pytest.mark.parametrize("name", ["missing", "."])
def test_root_without_subsets(tmp_path, name):
    with pytest.raises(CorpusError, match="corpus_dir"):
        find_root(tmp_path / name)


def test_missing_speakers_file(tmp_path, chapter):
    (tmp_path / "SPEAKERS.TXT").unlink()
    with pytest.raises(CorpusError, match=r"SPEAKERS\.TXT is missing"):
        read(tmp_path)


def test_speaker_not_listed(tmp_path, chapter):
    (tmp_path / "SPEAKERS.TXT").write_text("62 | F | test-clean | 1 | x\n")
    with pytest.raises(CorpusError, match="no line for reader 61"):
        read(tmp_path)


@pytest.mark.parametrize("line", ["61 | X | test-clean", "61"])
def test_odd_line_in_speakers_file(tmp_path, chapter, line):
    (tmp_path / "SPEAKERS.TXT").write_text(f"; comment\n{line}\n")
    with pytest.raises(CorpusError, match=r"SPEAKERS\.TXT, line 2"):
        read(tmp_path)


def test_transcript_without_audio(tmp_path, chapter):
    (chapter / "61-70968-0001.flac").unlink()
    with pytest.raises(CorpusError, match=r"no audio file .*61-70968-0001\.flac"):
        read(tmp_path)


def test_audio_without_transcript(tmp_path, chapter):
    tiny_corpus.write_flac(chapter / "61-70968-0007.flac")
    with pytest.raises(CorpusError, match=r"61-70968-0007\.flac: no transcript"):
        read(tmp_path)


def test_missing_transcript_file(tmp_path, chapter):
    transcript(chapter).unlink()
    with pytest.raises(CorpusError, match=r"61-70968\.trans\.txt is missing"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("61-70968-0000 AGAIN", "line 3: duplicate utterance 61-70968-0000"),
        ("61-70968-0002", "line 3: utterance 61-70968-0002 has no text"),
        ("62-70968-0002 TEXT", "line 3: utterance id '62-70968-0002'"),
    ],
)
def test_odd_transcript_line(tmp_path, chapter, line, message):
    with transcript(chapter).open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(CorpusError, match=message):
        read(tmp_path)


def test_transcript_in_another_encoding(tmp_path, chapter):
    transcript(chapter).write_bytes("61-70968-0000 CAFÉ\n".encode("latin-1"))
    with pytest.raises(CorpusError, match="not UTF-8"):
        read(tmp_path)


# Python's splitlines would end a line at each of the odd ones.
@pytest.mark.parametrize(
    "space", ["\t", "  ", "\u2028", "\u2029", "\x85", "\x0c", "\x1e"]
)
def test_white_space_of_transcripts_is_made_single(tmp_path, chapter, space):
    lines = f"61-70968-0000{space}ONE{space}TWO \r\n\n61-70968-0001 THREE\n"
    transcript(chapter).write_text(lines)
    assert [u.text for u in read(tmp_path)] == ["ONE TWO", "THREE"]


def test_directory_that_is_no_number(tmp_path, chapter):
    (chapter / "..").resolve().joinpath("old").mkdir()
    with pytest.raises(CorpusError, match="old: readers and chapters are numbers"):
        read(tmp_path)


def test_empty_subset(tmp_path):
    tiny_corpus.write_subset(tmp_path, "test-clean")
    (tmp_path / "dev-clean").mkdir()
    with pytest.raises(CorpusError, match="dev-clean: no utterance"):
        read(tmp_path, "dev-clean")


def test_seconds_of_good_audio(tmp_path, chapter):
    tiny_corpus.write_flac(chapter / "61-70968-0001.flac", seconds=0.7)
    assert check_audio(read(tmp_path), 2, "x") == pytest.approx(0.9)


@pytest.mark.parametrize("cut", [0, 30, 1000, -1])
def test_truncated_audio(tmp_path, chapter, cut):
    path = chapter / "61-70968-0001.flac"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(CorpusError, match=r"0001\.flac: truncated or not an audio"):
        check_audio(read(tmp_path), 1, "x")


def test_audio_without_samples(tmp_path, chapter):
    tiny_corpus.write_flac(chapter / "61-70968-0001.flac", seconds=0)
    with pytest.raises(CorpusError, match=r"0001\.flac: "):
        check_audio(read(tmp_path), 1, "x")


def test_wrong_sampling_rate(tmp_path, chapter):
    tiny_corpus.write_flac(chapter / "61-70968-0000.flac", rate=8000)
    with pytest.raises(CorpusError, match=r"0000\.flac: sampling rate 8000 Hz"):
        check_audio(read(tmp_path), 1, "x")


def test_two_channels(tmp_path, chapter):
    soundfile.write(chapter / "61-70968-0000.flac", np.zeros((1600, 2)), 16000)
    with pytest.raises(CorpusError, match=r"0000\.flac: 2 channels"):
        check_audio(read(tmp_path), 1, "x")


def test_the_other_bad_files_are_counted(tmp_path):
    tiny_corpus.write_tree(tmp_path, "dev-clean")
    for path in (tmp_path / "dev-clean").rglob("*.flac"):
        path.write_bytes(b"")
    with pytest.raises(CorpusError, match=r"1272-128104-0000.*\(3 more files"):
        check_audio(read(tmp_path, "dev-clean"), 2, "x")
