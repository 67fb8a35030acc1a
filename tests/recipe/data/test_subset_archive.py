"""Unpacking a subset's archive into the tree."""

import tarfile

import pytest
from corpus_table import CorpusError
from subset_archive import is_complete, unpack
from support import tiny_corpus


def pack(tmp_path, subset, **more):
    archive = tmp_path / f"{subset}.tar.gz"
    data = tiny_corpus.pack(tmp_path / f"source-{subset}", subset, **more)
    archive.write_bytes(data)
    return archive


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "out" / "LibriSpeech").mkdir(parents=True)
    return tmp_path / "out" / "LibriSpeech"


def ignore(done, total):
    pass


def test_subset_appears_whole(tmp_path, tree):
    archive = pack(tmp_path, "dev-clean", README="read me\n")
    assert not is_complete(tree, "dev-clean")
    unpack(archive, "dev-clean", tree, ignore)
    assert is_complete(tree, "dev-clean")
    assert len(list(tree.rglob("*.flac"))) == 4
    assert (tree / "README.TXT").read_text() == "read me\n"
    assert [p.name for p in tree.parent.iterdir()] == ["LibriSpeech"]


def test_metadata_of_several_archives_is_united(tmp_path, tree):
    for subset in ("dev-clean", "test-clean"):
        unpack(pack(tmp_path, subset, LICENSE="CC\n"), subset, tree, ignore)
    lines = (tree / "SPEAKERS.TXT").read_text().splitlines()
    assert [line.split()[0] for line in lines] == [";ID", "1272", "84", "61"]
    assert (tree / "LICENSE.TXT").read_text() == "CC\n"


def test_interrupted_unpacking_leaves_nothing(tmp_path, tree):
    archive = pack(tmp_path, "dev-clean")
    calls = []

    def interrupt(done, total):
        calls.append(done)
        if len(calls) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        unpack(archive, "dev-clean", tree, interrupt)
    assert not list(tree.iterdir())
    assert [p.name for p in tree.parent.iterdir()] == ["LibriSpeech"]


def test_rest_of_a_killed_run_is_cleared(tmp_path, tree):
    rest = tree.parent / ".dev-clean.unpacking" / "LibriSpeech" / "dev-clean" / "9"
    rest.mkdir(parents=True)
    unpack(pack(tmp_path, "dev-clean"), "dev-clean", tree, ignore)
    assert not (tree / "dev-clean" / "9").exists()
    assert [p.name for p in tree.parent.iterdir()] == ["LibriSpeech"]


@pytest.mark.parametrize("cut", [0, 20, 300, -200])
def test_truncated_archive(tmp_path, tree, cut):
    archive = pack(tmp_path, "dev-clean")
    archive.write_bytes(archive.read_bytes()[:cut])
    with pytest.raises(CorpusError, match=r"dev-clean\.tar\.gz: damaged"):
        unpack(archive, "dev-clean", tree, ignore)
    assert not list(tree.iterdir())


def test_web_page_instead_of_an_archive(tmp_path, tree):
    (tmp_path / "a").write_text("<html>" * 1000)
    with pytest.raises(CorpusError, match="damaged or unsafe archive"):
        unpack(tmp_path / "a", "dev-clean", tree, ignore)


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("LibriSpeech/../../../evil", None),
        ("LibriSpeech/dev-clean/passwd", "/etc/passwd"),
        ("LibriSpeech/dev-clean/up", "../../../../up"),
    ],
)
def test_paths_and_links_that_lead_out_of_the_tree(tmp_path, tree, name, target):
    archive = pack(tmp_path, "dev-clean")
    with tarfile.open(archive, "w:gz") as tar:
        info = tarfile.TarInfo(name)
        if target:
            info.type, info.linkname = tarfile.SYMTYPE, target
        tar.addfile(info)
    with pytest.raises(CorpusError, match=r"dev-clean\.tar\.gz: .*unsafe archive"):
        unpack(archive, "dev-clean", tree, ignore)
    assert not list(tree.iterdir())
    assert not list(tmp_path.rglob("evil"))


def test_python_that_cannot_unpack_safely(tmp_path, tree, monkeypatch):
    monkeypatch.delattr(tarfile, "data_filter")
    with pytest.raises(CorpusError, match="--corpus_dir"):
        unpack(pack(tmp_path, "dev-clean"), "dev-clean", tree, ignore)


def test_archive_of_another_subset(tmp_path, tree):
    with pytest.raises(CorpusError, match=r"no LibriSpeech/dev-other in it"):
        unpack(pack(tmp_path, "dev-clean"), "dev-other", tree, ignore)
    assert not list(tree.iterdir())


def test_directory_without_marker_is_not_trusted(tmp_path, tree):
    (tree / "dev-clean").mkdir()
    with pytest.raises(CorpusError, match=r"no \.complete file"):
        is_complete(tree, "dev-clean")
