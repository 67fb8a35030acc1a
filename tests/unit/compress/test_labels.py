"""Which texts a model is trained on, and where they come from."""

import pytest

from espnet_adaptive_dropout.compress.audio import read_data
from espnet_adaptive_dropout.compress.labels import Labels, labels_of
from espnet_adaptive_dropout.compress.prepare import material


def st(**model_conf):
    data = [
        ["dump/raw/train/wav.scp", "speech", "sound"],
        ["dump/raw/train/text.tc.de", "text", "text"],
        ["dump/raw/train/text.lc.rm.en", "src_text", "text"],
    ]
    return dict(model_conf=model_conf, train_data_path_and_name_and_type=data)


def test_names_of_every_task():
    assert labels_of("asr", {}) == labels_of("slu", {}) == Labels()
    s2t = labels_of("s2t", {})
    assert s2t.names == ("text", "text_prev", "text_ctc")
    assert s2t.compared == "text_ctc"
    assert labels_of("st", st(asr_weight=0.0)).names == ("text",)
    for conf, unknown in (
        (dict(asr_weight=0.3, mtlalpha=0.3), None),
        (dict(asr_weight=0.3), "src_text"),
        (dict(mt_weight=0.1), "src_text"),
    ):
        found = labels_of("st", st(**conf))
        assert found.names == ("text", "src_text") and found.unknown == unknown


def test_given_texts_stay():
    recognised = dict(text="x", src_text="y")
    both = Labels(("text", "src_text"))
    assert not both.complete(dict(text="a"))
    completed = both.completed(dict(text="a", src_text=""), recognised)
    assert completed == dict(text="a", src_text="y") and both.complete(completed)
    s2t = labels_of("s2t", {})
    recognised = dict(text="<eng><asr> x", text_prev="<na>", text_ctc="x")
    assert s2t.completed(dict(text="a"), recognised) == recognised


@pytest.fixture
def dev(tmp_path):
    """Data of a recipe of speech translation."""
    (tmp_path / "a.ark").write_bytes(b"")
    names = [f"u{i:02}" for i in range(4)]
    for file, text in (
        ("wav.scp", f"{tmp_path}/a.ark:7"),
        ("text", "source"),
        ("text.tc.de", "Ziel"),
        ("text.lc.rm.en", "source"),
    ):
        lines = [f"{name} {text}\n" for name in names]
        (tmp_path / file).write_text("".join(lines))
    return tmp_path


def test_files_of_the_model_s_own_training(dev):
    files = labels_of("st", st()).files
    wanted = dict(text="Ziel", src_text="source")
    assert read_data([dev], files)["u00"].texts == wanted
    assert read_data([dev])["u00"].texts == dict(text="source")
    (dev / "text.tc.de").unlink()
    assert read_data([dev], files)["u00"].texts["text"] == "source"


def test_a_text_that_cannot_be_recognised(dev):
    labels = labels_of("st", st(asr_weight=0.3))
    assert material([dev], None, labels, print).transcribed
    (dev / "text.lc.rm.en").unlink()
    with pytest.raises(ValueError, match="2 utterances lack text or src_text, and the"):
        material([dev], None, labels, print)
