"""Fetching a file from servers that behave well, badly, and not at all."""

import random
import socket
import threading
import time

import pytest
from http_fetch import FetchError, Policy, Stopped, fetch, fetch_text
from support.flaky_server import FlakyServer

QUICK = Policy(tries=3, backoff=0.01, timeout=5)
CONTENT = random.Random(0).randbytes(1_000_000)


@pytest.fixture
def server():
    with FlakyServer() as running:
        running.files["/a"] = CONTENT
        yield running


@pytest.fixture
def partial(tmp_path):
    return tmp_path / "a.part"


def test_plain_download(server, partial):
    seen = []
    fetch(f"{server.url}/a", partial, QUICK, lambda *args: seen.append(args))
    assert partial.read_bytes() == CONTENT
    assert server.ranges("/a") == [None]
    assert seen[0] == (0, len(CONTENT))
    assert seen[-1] == (len(CONTENT), len(CONTENT))


def test_connection_that_breaks_off_is_resumed(server, partial):
    server.drop_after["/a"] = [300_000, 200_000]
    fetch(f"{server.url}/a", partial, QUICK)
    assert partial.read_bytes() == CONTENT
    assert server.ranges("/a") == [None, "bytes=300000-", "bytes=500000-"]


def test_new_bytes_renew_the_patience(server, partial):
    server.drop_after["/a"] = [100_000] * 8
    fetch(f"{server.url}/a", partial, QUICK)
    assert partial.read_bytes() == CONTENT
    assert len(server.requests) == 9


def test_goes_on_from_an_earlier_run(server, partial):
    partial.write_bytes(CONTENT[:123_456])
    fetch(f"{server.url}/a", partial, QUICK)
    assert partial.read_bytes() == CONTENT
    assert server.ranges("/a") == ["bytes=123456-"]


def test_whole_file_of_an_earlier_run(server, partial):
    partial.write_bytes(CONTENT)
    fetch(f"{server.url}/a", partial, QUICK)
    assert partial.read_bytes() == CONTENT


def test_partial_file_longer_than_the_servers(server, partial):
    partial.write_bytes(b"x" * (len(CONTENT) + 5))
    fetch(f"{server.url}/a", partial, QUICK)
    assert partial.read_bytes() == CONTENT


def test_server_that_ignores_range(server, partial):
    server.honour_range = False
    server.drop_after["/a"] = [300_000]
    fetch(f"{server.url}/a", partial, QUICK)
    assert partial.read_bytes() == CONTENT
    assert server.ranges("/a") == [None, "bytes=300000-"]


def test_server_that_ignores_range_and_always_breaks_off(server, partial):
    server.honour_range = False
    server.drop_after["/a"] = [300_000] * 50
    with pytest.raises(FetchError, match="gave up after 3 tries.*300000"):
        fetch(f"{server.url}/a", partial, QUICK)
    assert len(server.requests) <= 4


def test_server_that_sends_another_range(server, partial):
    server.range_shift = 10
    partial.write_bytes(CONTENT[:1000])
    fetch(f"{server.url}/a", partial, QUICK)
    assert partial.read_bytes() == CONTENT


@pytest.mark.parametrize("drops", [[], [300_000]])
def test_chunked_transfer(server, partial, drops):
    server.chunked = True
    server.drop_after["/a"] = drops
    fetch(f"{server.url}/a", partial, QUICK)
    assert partial.read_bytes() == CONTENT


def test_busy_server_is_asked_again(server, partial):
    server.statuses["/a"] = [503, 429]
    fetch(f"{server.url}/a", partial, QUICK)
    assert partial.read_bytes() == CONTENT


def test_busy_server_is_not_asked_for_ever(server, partial):
    server.statuses["/a"] = [503] * 9
    with pytest.raises(FetchError, match=r"/a: gave up after 3 tries \(HTTP .* 503\)"):
        fetch(f"{server.url}/a", partial, QUICK)
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [403, 404])
def test_refusal_is_final(server, partial, status):
    server.statuses["/a"] = [status]
    with pytest.raises(FetchError, match=f"the server answers {status} .*data_url"):
        fetch(f"{server.url}/a", partial, QUICK)
    assert len(server.requests) == 1
    assert not partial.exists()


def test_nobody_listens(partial):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/a"
    with pytest.raises(FetchError, match="gave up after 3 tries"):
        fetch(url, partial, QUICK)
    with pytest.raises(FetchError, match="gave up after 3 tries"):
        fetch_text(url, QUICK)


def test_silence_counts_as_broken(server, partial):
    server.hold = threading.Event()
    with pytest.raises(FetchError, match="timed out"):
        fetch(f"{server.url}/a", partial, Policy(tries=1, timeout=0.3))
    assert CONTENT.startswith(partial.read_bytes())


@pytest.mark.parametrize("url", ["gopher://x/a", "http://[bad/a", "http:///a", "a"])
def test_senseless_url(partial, url):
    with pytest.raises(FetchError, match="data_url"):
        fetch(url, partial, QUICK)


def test_stop_keeps_what_came(server, partial):
    server.hold = threading.Event()
    stop, errors = threading.Event(), []

    def work():
        try:
            fetch(f"{server.url}/a", partial, QUICK, None, stop)
        except Stopped as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert server.waiting.wait(10)
    stop.set()
    server.hold.set()
    thread.join(10)
    assert len(errors) == 1
    server.hold = None
    fetch(f"{server.url}/a", partial, QUICK)
    assert partial.read_bytes() == CONTENT


def test_stop_ends_the_pause_between_tries(server, partial):
    server.statuses["/a"] = [503] * 9
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    start = time.monotonic()
    with pytest.raises(Stopped):
        fetch(f"{server.url}/a", partial, Policy(backoff=30), None, stop)
    assert time.monotonic() - start < 10


def test_text(server):
    server.files["/md5sum.txt"] = b"abc  a\n"
    server.statuses["/md5sum.txt"] = [500]
    assert fetch_text(f"{server.url}/md5sum.txt", QUICK) == "abc  a\n"
    with pytest.raises(FetchError, match="404"):
        fetch_text(f"{server.url}/other", QUICK)


def test_pauses_double_up_to_a_bound():
    policy = Policy(backoff=1, longest_pause=5)
    assert [policy.pause(n) for n in (1, 2, 3, 4, 40)] == [1, 2, 4, 5, 5]
