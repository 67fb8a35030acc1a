"""Unpacking archives."""

import io
import tarfile

import pytest
from corpus_table import CorpusError
from tar_files import extract_files


def make(path, members):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def test_files_are_unpacked_with_progress(tmp_path):
    archive = make(tmp_path / "a.tar.gz", {"x/y": b"1", "x/z/w": b"2"})
    seen = []
    extract_files(archive, tmp_path / "out", lambda *args: seen.append(args))
    assert (tmp_path / "out/x/z/w").read_bytes() == b"2"
    assert len(seen) == 2
    assert all(0 < done <= total for done, total in seen)


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil"])
def test_paths_that_lead_out_are_refused(tmp_path, name):
    archive = make(tmp_path / "a.tar.gz", {name: b"1"})
    with pytest.raises(CorpusError, match="unsafe path"):
        extract_files(archive, tmp_path / "deep" / "out")
    assert not list(tmp_path.rglob("evil"))


def test_links_are_left_out(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        info = tarfile.TarInfo("link")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(info)
    extract_files(tmp_path / "a.tar", tmp_path / "out")
    assert not list(tmp_path.glob("out/*"))


@pytest.mark.parametrize("cut", [0, 20, 300, -200])
def test_truncated_archive(tmp_path, cut):
    content = bytes(range(256)) * 20
    archive = make(tmp_path / "a.tar.gz", {f"f{i}": content for i in range(20)})
    archive.write_bytes(archive.read_bytes()[:cut])
    with pytest.raises(CorpusError, match=r"a\.tar\.gz: damaged"):
        extract_files(archive, tmp_path / "out")


def test_no_archive_at_all(tmp_path):
    (tmp_path / "a").write_text("<html>" * 1000)
    with pytest.raises(CorpusError, match="damaged archive"):
        extract_files(tmp_path / "a", tmp_path / "out")
