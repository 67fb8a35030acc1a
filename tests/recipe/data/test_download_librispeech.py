"""Downloading LibriSpeech from a local stand-in of OpenSLR."""

import fcntl
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from corpus_table import OFFICIAL
from curl_fetch import Policy
from download_librispeech import main
from support import tiny_corpus
from support.flaky_server import FlakyServer
from support.paths import RECIPE
from support.tiny_corpus import md5sums, pack

QUICK = Policy(tries=3, pause=0.01, timeout=5)
MINI = OFFICIAL["mini_librispeech"].subsets


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """Archives of all subsets, by file name."""
    return {
        f"{subset}.tar.gz": pack(tmp_path_factory.mktemp(subset), subset, BOOKS="")
        for subset in tiny_corpus.READERS
    }


@pytest.fixture
def server(archives):
    with FlakyServer() as running:
        running.files.update({f"/{name}": data for name, data in archives.items()})
        running.files["/md5sum.txt"] = md5sums(archives)
        yield running


@pytest.fixture
def output(tmp_path):
    return tmp_path / "downloads"


def command(server, output, corpus="mini_librispeech", *more):
    words = ["--corpus", corpus, "--output", str(output), "--data_url", server.url]
    return [*words, *more]


def run(*args):
    return main(command(*args), QUICK)


def one_error(capsys):
    lines = [s for s in capsys.readouterr().err.splitlines() if "error:" in s]
    assert len(lines) == 1
    return lines[0]


def test_mini(server, output, archives):
    assert run(server, output) == 0
    tree = output / "LibriSpeech"
    assert sorted(p.name for p in tree.iterdir()) == [
        *("BOOKS.TXT", "SPEAKERS.TXT", "dev-clean-2", "train-clean-5"),
    ]
    assert len(list(tree.rglob("*.flac"))) == 4
    speakers = (tree / "SPEAKERS.TXT").read_text()
    assert "85 " in speakers
    assert "30 " in speakers
    for subset in MINI:
        name = f"{subset}.tar.gz"
        assert (output / name).read_bytes() == archives[name]
    assert not list(output.glob("*.part"))


def test_archives_come_in_parallel_with_a_bar_each(server, output, capsys):
    server.together = threading.Barrier(7)
    assert run(server, output, "librispeech", "--nj", "7") == 0
    shown = capsys.readouterr().err
    for subset in OFFICIAL["librispeech"].subsets:
        assert f"download {subset}.tar.gz: " in shown
        assert (output / "LibriSpeech" / subset / ".complete").is_file()


def test_every_broken_archive_of_many_is_resumed(server, output, archives):
    subsets = OFFICIAL["librispeech"].subsets
    for subset in subsets:
        server.drop_after[f"/{subset}.tar.gz"] = [100 + len(subset)]
    assert run(server, output, "librispeech", "--nj", "3") == 0
    for subset in subsets:
        name = f"{subset}.tar.gz"
        assert server.ranges(f"/{name}") == [None, f"bytes={100 + len(subset)}-"]
        assert (output / name).read_bytes() == archives[name]


def test_one_damaged_archive_of_many_ends_the_rest_resumably(server, output, capsys):
    good = server.files["/dev-other.tar.gz"]
    damaged = good[:500] + b"x" + good[501:]
    server.files["/dev-other.tar.gz"] = damaged
    assert run(server, output, "librispeech", "--nj", "7") == 1
    error = one_error(capsys)
    assert f"dev-other.tar.gz: MD5 {hashlib.md5(damaged).hexdigest()}" in error
    assert not list(output.glob("dev-other.tar.gz*"))
    assert not (output / "LibriSpeech" / "dev-other").exists()
    server.files["/dev-other.tar.gz"] = good
    assert run(server, output, "librispeech", "--nj", "7") == 0


def test_100_hours_leave_the_rest_on_the_server(server, output):
    assert run(server, output, "librispeech_100") == 0
    assert not (output / "train-clean-360.tar.gz").exists()
    # The larger corpus then only needs what is missing.
    server.requests.clear()
    assert run(server, output, "librispeech") == 0
    assert sorted(path for path, _ in server.requests) == [
        *("/md5sum.txt", "/train-clean-360.tar.gz", "/train-other-500.tar.gz"),
    ]


def test_a_complete_corpus_needs_no_server(server, output):
    assert run(server, output, "mini_librispeech", "--remove_archives", "true") == 0
    assert not list(output.glob("*.tar.gz"))
    server.requests.clear()
    assert run(server, output) == 0
    assert server.requests == []


def test_archive_that_is_there_is_used(server, output, archives):
    output.mkdir()
    name = "train-clean-5.tar.gz"
    (output / name).write_bytes(archives[name])
    assert run(server, output) == 0
    assert server.ranges(f"/{name}") == []


def test_wrong_archive_that_is_there_stays(server, output, capsys):
    output.mkdir()
    path = output / "train-clean-5.tar.gz"
    path.write_bytes(b"of the user")
    assert run(server, output) == 1
    assert str(path) in one_error(capsys)
    assert path.read_bytes() == b"of the user"


def test_resumed_file_that_changed_on_the_server(server, output, archives):
    output.mkdir()
    name = "dev-clean-2.tar.gz"
    (output / f"{name}.part").write_bytes(b"x" * 1000)
    assert run(server, output) == 0
    assert server.ranges(f"/{name}") == ["bytes=1000-", None]
    assert (output / name).read_bytes() == archives[name]


@pytest.mark.parametrize("sums", [None, b"", b"0  train-clean-5.tar.gz\n"])
def test_missing_checksum(server, output, capsys, sums):
    del server.files["/md5sum.txt"]
    if sums is not None:
        server.files["/md5sum.txt"] = sums
    assert run(server, output) == 1
    error = one_error(capsys)
    assert "md5sum.txt" in error
    assert "--checksum false" in error
    assert run(server, output, "mini_librispeech", "--checksum", "false") == 0


def test_other_forms_of_checksum_lines(server, output, archives):
    text = server.files["/md5sum.txt"].decode()
    text = "\n" + text.replace("  ", " *./").upper().replace(".TAR.GZ", ".tar.gz")
    for subset in MINI:
        text = text.replace(subset.upper(), subset)
    server.files["/md5sum.txt"] = text.encode()
    assert run(server, output) == 0


def test_full_disk_while_unpacking(server, output, monkeypatch, capsys):
    def fail(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("subset_archive._extract", fail)
        assert run(server, output) == 1
    assert "No space left on device" in one_error(capsys)
    assert run(server, output) == 0


def test_two_downloads_at_once_are_refused(server, output, capsys):
    output.mkdir()
    handle = os.open(output, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        assert run(server, output) == 1
    finally:
        os.close(handle)
    assert f"another download is writing to {output}" in one_error(capsys)
    assert server.requests == []


def test_url_without_scheme(server, output):
    words = command(server, output)
    words[-1] = server.url.replace("http://", "") + "/"
    assert main(words, QUICK) == 0


def test_interrupt_and_resume(server, output, archives, tmp_path):
    """Ctrl-C in the middle of a real process, then the same command again."""
    ballast = b"".join(b"%d" % i for i in range(10**6))
    large = pack(tmp_path, "dev-clean-2", BOOKS=ballast)
    server.files["/dev-clean-2.tar.gz"] = large
    server.files["/md5sum.txt"] = md5sums({**archives, "dev-clean-2.tar.gz": large})
    script = RECIPE / "local/data/download_librispeech.py"
    words = [sys.executable, str(script), *command(server, output)]
    server.hold = threading.Event()
    process = subprocess.Popen(
        words,
        stderr=subprocess.PIPE,
        text=True,
        # Children of a background job would ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert server.waiting.wait(30)
        part = output / "dev-clean-2.tar.gz.part"
        while not (part.exists() and part.stat().st_size):
            assert process.poll() is None
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGINT)
        server.hold.set()
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert "interrupted; run again to continue" in errors
    server.hold = None
    server.requests.clear()
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert any(server.ranges("/dev-clean-2.tar.gz"))
    assert (output / "dev-clean-2.tar.gz").read_bytes() == large
