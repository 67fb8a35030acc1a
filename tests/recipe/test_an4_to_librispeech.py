"""AN4 as a corpus in LibriSpeech's form."""

import sys
import tarfile

import numpy as np
import pytest
import soundfile
from an4_to_librispeech import convert_archive, find_archive, main
from corpora import CorpusError
from librispeech_tree import check_audio, read_genders, read_subset
from support import tiny_corpus  # noqa: F401  (puts the recipe's scripts on the path)

TRAIN = {
    "fash/an251-fash-b": "<s> YES </s>",
    "fash/cen1-fash-b": "<s> MAY  SECOND </s>",
    "fash/an253-fash-b": "<s> GO </s>",
    "mbbb/an1-mbbb-b": "<s> STOP </s>",
    "mwhw/an152-mwhw-b": "<s> START </s>",
    "mwhw/cen8-mwhw-b": "<s> ELEVEN </s>",
}
TEST = {"fcaw/cen8-fcaw-b": "TWENTY SEVEN"}


@pytest.fixture
def an4(tmp_path):
    """A small AN4 of noise, in AN4's own form."""
    root = tmp_path / "source" / "an4"
    (root / "etc").mkdir(parents=True)
    (root / "LICENSE").write_text("free\n")
    generator = np.random.default_rng(0)
    parts = [("train", "an4_clstk", TRAIN), ("test", "an4test_clstk", TEST)]
    for part, folder, texts in parts:
        ids, lines = [], []
        for name, text in texts.items():
            path = root / "wav" / folder / f"{name}.sph"
            path.parent.mkdir(parents=True, exist_ok=True)
            noise = generator.integers(-999, 999, 4800, dtype="int16")
            soundfile.write(path, noise, 16000, format="NIST", subtype="PCM_16")
            ids.append(f"{folder}/{name}\n")
            lines.append(f"{text} ({path.stem})\n")
        (root / "etc" / f"an4_{part}.fileids").write_text("".join(ids))
        (root / "etc" / f"an4_{part}.transcription").write_text("".join(lines))
    return root


def pack(an4):
    archive = an4.parents[1] / "an4.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(an4, "downloads/an4")
    return archive


def test_subsets_readers_and_text(an4, tmp_path):
    root = convert_archive(pack(an4), tmp_path / "out")
    genders = read_genders(root)
    assert genders == {"1": "f", "2": "f", "3": "m", "4": "m"}
    found = {
        subset: {u.utt_id: u.text for u in read_subset(root, subset, genders)}
        for subset in ("train-clean-100", "dev-clean", "test-clean")
    }
    assert found == {
        "train-clean-100": {
            "1-101-0000": "YES",
            "1-101-0001": "GO",
            "1-102-0000": "MAY SECOND",
            "4-401-0000": "START",
            "4-402-0000": "ELEVEN",
        },
        "dev-clean": {"3-301-0000": "STOP"},  # the speaker with the least
        "test-clean": {"2-202-0000": "TWENTY SEVEN"},
    }
    assert (root / "LICENSE.TXT").read_text() == "free\n"
    assert "4-402-0000 cen8-mwhw-b\n" in (root / "README.TXT").read_text()


def test_metadata_is_in_the_usual_columns(an4, tmp_path):
    root = convert_archive(pack(an4), tmp_path / "out")
    rows = [
        [field.strip() for field in line.split("|")]
        for line in (root / "CHAPTERS.TXT").read_text().splitlines()
        if not line.startswith(";")
    ]
    assert ["102", "1", "0.01", "train-clean-100"] in [row[:4] for row in rows]
    assert len(rows) == 6


def test_samples_are_kept(an4, tmp_path):
    root = convert_archive(pack(an4), tmp_path / "out")
    new, rate = soundfile.read(root / "test-clean/2/202/2-202-0000.flac", dtype="int16")
    old, _ = soundfile.read(
        an4 / "wav/an4test_clstk/fcaw/cen8-fcaw-b.sph", dtype="int16"
    )
    assert rate == 16000
    assert np.array_equal(new, old)


def test_a_second_run_does_nothing(an4, tmp_path):
    archive, out = pack(an4), tmp_path / "out"
    root = convert_archive(archive, out)
    before = {p: p.stat().st_mtime_ns for p in root.rglob("*")}
    archive.unlink()
    assert main(["--archive", str(archive), "--output", str(out)]) == 0
    assert {p: p.stat().st_mtime_ns for p in root.rglob("*")} == before


def fault_compressed(an4):
    (an4 / "wav/an4_clstk/mwhw/cen8-mwhw-b.sph").write_bytes(b"NIST_1A\nshorten")
    return "cen8-mwhw-b.sph: not an uncompressed NIST SPHERE file"


def fault_missing_audio(an4):
    (an4 / "wav/an4_clstk/mwhw/cen8-mwhw-b.sph").unlink()
    return "cen8-mwhw-b.sph is missing"


def fault_missing_text(an4):
    path = an4 / "etc/an4_train.transcription"
    path.write_text(path.read_text().replace("(cen8-mwhw-b)", ""))
    return "no text for cen8-mwhw-b"


def fault_missing_list(an4):
    (an4 / "etc/an4_test.fileids").unlink()
    return "an4_test.fileids is missing"


def fault_not_an4(an4):
    (an4 / "etc/an4_train.fileids").unlink()
    return "not AN4"


def fault_one_speaker(an4):
    path = an4 / "etc/an4_train.fileids"
    path.write_text("an4_clstk/fash/an251-fash-b\n")
    return "needs two training speakers"


@pytest.mark.parametrize(
    "fault",
    [
        *(fault_compressed, fault_missing_audio, fault_missing_text),
        *(fault_missing_list, fault_not_an4, fault_one_speaker),
    ],
)
def test_faults_are_one_line_and_leave_nothing(an4, tmp_path, capsys, fault):
    message = fault(an4)
    out = tmp_path / "out"
    assert main(["--archive", str(pack(an4)), "--output", str(out)]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error
    assert not list(out.iterdir())


def test_damaged_archive(an4, tmp_path, capsys):
    archive = pack(an4)
    archive.write_bytes(archive.read_bytes()[:-300])
    assert main(["--archive", str(archive), "--output", str(tmp_path / "out")]) == 1
    assert "damaged archive" in capsys.readouterr().err


def fake_espnet(tmp_path, monkeypatch):
    package = tmp_path / "site" / "espnet2"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('must not be imported')")
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.delitem(sys.modules, "espnet2", raising=False)
    return package.parent


def test_release_without_the_archive(tmp_path, monkeypatch, capsys):
    fake_espnet(tmp_path, monkeypatch)
    assert main(["--output", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "ships no AN4 recordings" in error
    assert "202611" in error


def test_archive_is_looked_for_beside_espnet2(an4, tmp_path, monkeypatch):
    site = fake_espnet(tmp_path, monkeypatch)
    target = site / "egs3/mini_an4/esp2_asr/downloads.tar.gz"
    target.parent.mkdir(parents=True)
    pack(an4).rename(target)
    assert find_archive() == target


def test_archive_in_the_installed_wheel(tmp_path):
    try:
        archive = find_archive()
    except CorpusError:
        pytest.skip("this release of ESPnet ships no AN4 recordings")
    root = convert_archive(archive, tmp_path)
    genders = read_genders(root)
    counts, seconds = {}, 0.0
    for subset in ("train-clean-100", "dev-clean", "test-clean"):
        utterances = read_subset(root, subset, genders)
        counts[subset] = len(utterances)
        seconds += check_audio(utterances, 1, subset)
    assert counts == {"train-clean-100": 4, "dev-clean": 1, "test-clean": 2}
    assert seconds == pytest.approx(12.9, abs=0.1)
