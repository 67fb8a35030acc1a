"""Fetching a file from servers that behave well, badly, and not at all."""

import random
import socket
import threading
import time

import curl_fetch
import pytest
from curl_fetch import FetchError, Policy, Stopped, fetch
from support.flaky_server import FlakyServer

QUICK = Policy(tries=3, pause=0.01, timeout=5)
CONTENT = random.Random(0).randbytes(1_000_000)


@pytest.fixture
def server():
    with FlakyServer() as running:
        running.files["/a"] = CONTENT
        yield running


@pytest.fixture
def partial(tmp_path):
    return tmp_path / "a.part"


def test_plain_download_tells_its_progress(server, partial):
    seen = []
    fetch(f"{server.url}/a", partial, QUICK, lambda *args: seen.append(args))
    assert partial.read_bytes() == CONTENT
    assert server.ranges("/a") == [None]
    assert seen[-1] == (len(CONTENT), len(CONTENT))


def test_connection_that_breaks_off_is_resumed(server, partial, capsys):
    server.drop_after["/a"] = [300_000, 200_000]
    fetch(f"{server.url}/a", partial, QUICK)
    assert partial.read_bytes() == CONTENT
    assert server.ranges("/a") == [None, "bytes=300000-", "bytes=500000-"]
    assert "700000 bytes remaining to read; next try in" in capsys.readouterr().err


def test_new_bytes_renew_the_patience(server, partial):
    server.drop_after["/a"] = [100_000] * 4
    fetch(f"{server.url}/a", partial, QUICK)
    assert len(server.requests) == 5


def test_an_earlier_run_is_continued(server, partial):
    partial.write_bytes(CONTENT[:123_456])
    seen = []
    fetch(f"{server.url}/a", partial, QUICK, lambda *args: seen.append(args))
    assert partial.read_bytes() == CONTENT
    assert server.ranges("/a") == ["bytes=123456-"]
    assert seen[-1] == (len(CONTENT), len(CONTENT))


@pytest.mark.parametrize("beginning", [CONTENT, b"x" * (len(CONTENT) + 5)])
def test_complete_or_too_long_file_of_an_earlier_run(server, partial, beginning):
    partial.write_bytes(beginning)
    fetch(f"{server.url}/a", partial, QUICK)
    assert partial.read_bytes() == CONTENT
    assert len(server.requests) == (1 if beginning == CONTENT else 2)


@pytest.mark.parametrize("fault", [{"honour_range": False}, {"range_shift": 10}])
def test_server_that_cannot_resume(server, partial, fault):
    vars(server).update(fault)
    partial.write_bytes(CONTENT[:1000])
    fetch(f"{server.url}/a", partial, QUICK)
    assert partial.read_bytes() == CONTENT


def test_server_that_cannot_resume_and_always_breaks_off(server, partial):
    server.honour_range = False
    server.drop_after["/a"] = [300_000] * 50
    with pytest.raises(FetchError, match="3 tries failed"):
        fetch(f"{server.url}/a", partial, QUICK)


def test_chunked_transfer_that_breaks_off(server, partial):
    server.chunked = True
    server.drop_after["/a"] = [300_000]
    fetch(f"{server.url}/a", partial, QUICK)
    assert partial.read_bytes() == CONTENT


def test_busy_server_is_asked_again_but_not_for_ever(server, partial):
    server.statuses["/a"] = [503, 429]
    fetch(f"{server.url}/a", partial, QUICK)
    server.statuses["/a"] = [503] * 9
    partial.unlink()
    with pytest.raises(FetchError, match=r"/a: 3 tries failed \(.* 503\)"):
        fetch(f"{server.url}/a", partial, QUICK)


@pytest.mark.parametrize("status", [403, 404])
def test_refusal_is_final(server, partial, status):
    server.statuses["/a"] = [status]
    with pytest.raises(FetchError, match=f"/a: .* {status}; check --data_url"):
        fetch(f"{server.url}/a", partial, QUICK)
    assert len(server.requests) == 1
    assert not partial.exists()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://127.0.0.1:1/a", "3 tries failed .*connect"),
        ("http://no-such-host.invalid/a", "Could not resolve host.*check the network"),
        ("gopher://127.0.0.1/a", "not supported.*check --data_url"),
        ("http://[bad/a", "check --data_url"),
    ],
)
def test_addresses_that_nobody_answers(partial, url, message):
    with pytest.raises(FetchError, match=message) as caught:
        fetch(url, partial, QUICK)
    assert "\n" not in str(caught.value)


def test_silence_ends_an_attempt(partial):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/a"
        with pytest.raises(FetchError, match="too slow"):
            fetch(url, partial, Policy(tries=1, timeout=1))


def test_full_disk(server, partial):
    partial.symlink_to("/dev/full")
    with pytest.raises(FetchError, match="a.part: cannot be written; is the disk full"):
        fetch(f"{server.url}/a", partial, QUICK)


def test_curl_is_missing(server, partial, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FetchError, match="apt-get install curl"):
        fetch(f"{server.url}/a", partial, QUICK)


def test_stop_keeps_what_came(server, partial):
    server.hold, stop = threading.Event(), threading.Event()
    threading.Thread(target=lambda: server.waiting.wait(10) and stop.set()).start()
    with pytest.raises(Stopped):
        fetch(f"{server.url}/a", partial, QUICK, stop=stop)
    server.hold.set()
    server.hold = None
    fetch(f"{server.url}/a", partial, QUICK)
    assert partial.read_bytes() == CONTENT


def test_stop_ends_the_pause_between_tries(server, partial):
    server.statuses["/a"] = [503] * 9
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    start = time.monotonic()
    with pytest.raises(Stopped):
        fetch(f"{server.url}/a", partial, Policy(pause=30), stop=stop)
    assert time.monotonic() - start < 20


def test_pauses_double_up_to_a_bound(server, partial, monkeypatch):
    server.statuses["/a"] = [503] * 9
    monkeypatch.setattr(curl_fetch, "_LONGEST_PAUSE", 5)
    pauses = []
    stop = threading.Event()
    monkeypatch.setattr(stop, "wait", pauses.append)
    with pytest.raises(FetchError):
        fetch(f"{server.url}/a", partial, Policy(tries=6), stop=stop)
    assert pauses == [1, 2, 4, 5, 5]
