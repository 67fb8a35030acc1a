"""Operations on data directories."""

from __future__ import annotations

import pytest
from common import RecipeError, read_table
from data_dir import combine, filter_lengths, prefix


def make(directory, samples, text=None):
    directory.mkdir()
    text = text or {}
    rows = {
        "wav.scp": {name: f"{name}.flac" for name in samples},
        "utt2num_samples": samples,
        "text": {name: text.get(name, "A") for name in samples},
        "utt2spk": {name: name.split("-")[0] for name in samples},
    }
    for table, values in rows.items():
        lines = [f"{name} {value}".rstrip() for name, value in values.items()]
        (directory / table).write_text("\n".join(lines) + "\n")
    (directory / "feats_type").write_text("raw\n")
    return directory


def test_filter_keeps_what_lies_between_the_bounds(tmp_path):
    samples = {"a-1": 100, "a-2": 101, "b-1": 499, "b-2": 500, "c-1": 300}
    source = make(tmp_path / "org", samples, {"c-1": ""})
    said = filter_lengths(source, tmp_path / "out", 100, 500)
    assert "2 of 5 utterances (1 too short, 1 too long, 1 without text)" in said
    for table in ("wav.scp", "text", "utt2spk", "utt2num_samples"):
        assert list(read_table(tmp_path / "out" / table)) == ["a-2", "b-1"]
    assert read_table(tmp_path / "out/spk2utt") == {"a": "a-2", "b": "b-1"}
    assert (tmp_path / "out/feats_type").read_text() == "raw\n"


def test_nothing_left_is_an_error(tmp_path):
    source = make(tmp_path / "org", {"a-1": 5})
    with pytest.raises(RecipeError, match="no utterance is left"):
        filter_lengths(source, tmp_path / "out", 100, 500)


@pytest.mark.parametrize("table", ["text", "wav.scp", "utt2spk"])
def test_files_that_disagree(tmp_path, table):
    source = make(tmp_path / "org", {"a-1": 200, "a-2": 200})
    with (source / table).open("a") as stream:
        stream.write("z-9 more\n")
    with pytest.raises(RecipeError, match=f"z-9 is not in both wav.scp and|{table}"):
        filter_lengths(source, tmp_path / "out", 100, 500)


def test_prefix_and_combine_sort_in_byte_order(tmp_path):
    source = make(tmp_path / "train", {"a-2": 1, "a-1": 1, "B-1": 1})
    prefix(source, tmp_path / "fast", "sp1.1-")
    (tmp_path / "fast/wav.scp").write_text("sp1.1-a-1 x\nsp1.1-a-2 y\nsp1.1-B-1 z\n")
    combine(tmp_path / "both", [source, tmp_path / "fast"])
    names = list(read_table(tmp_path / "both/wav.scp"))
    assert names == ["B-1", "a-1", "a-2", "sp1.1-B-1", "sp1.1-a-1", "sp1.1-a-2"]
    assert list(read_table(tmp_path / "both/text")) == names
    speakers = read_table(tmp_path / "both/spk2utt")
    assert speakers["sp1.1-a"] == "sp1.1-a-1 sp1.1-a-2"
    assert not (tmp_path / "both/utt2num_samples").exists()  # not known for all


def test_genders_and_origins_go_along(tmp_path):
    source = make(tmp_path / "train", {"a-1": 200, "b-1": 200})
    (source / "spk2gender").write_text("a f\nb m\n")
    prefix(source, tmp_path / "fast", "sp1.1-")
    (tmp_path / "fast/wav.scp").write_text("sp1.1-a-1 x\nsp1.1-b-1 y\n")
    combine(tmp_path / "both", [source, tmp_path / "fast"])
    genders = {"a": "f", "b": "m", "sp1.1-a": "f", "sp1.1-b": "m"}
    assert read_table(tmp_path / "both/spk2gender") == genders
    origins = {"a-1": "a-1", "b-1": "b-1", "sp1.1-a-1": "a-1", "sp1.1-b-1": "b-1"}
    assert read_table(tmp_path / "both/utt2uniq") == origins
    (source / "utt2uniq").write_text("a-1 a-1\nb-1 b-1\n")
    (source / "utt2num_samples").write_text("a-1 200\nb-1 900\n")
    filter_lengths(source, tmp_path / "kept", 100, 500)
    assert read_table(tmp_path / "kept/spk2gender") == {"a": "f"}
    assert read_table(tmp_path / "kept/utt2uniq") == {"a-1": "a-1"}
    (source / "utt2uniq").unlink()
    combine(tmp_path / "both", [source])
    assert not (tmp_path / "both/utt2uniq").exists()


def test_same_utterance_twice(tmp_path):
    first = make(tmp_path / "x", {"a-1": 1})
    second = make(tmp_path / "y", {"a-1": 1})
    with pytest.raises(RecipeError, match="a-1 is in another set too"):
        combine(tmp_path / "both", [first, second])
