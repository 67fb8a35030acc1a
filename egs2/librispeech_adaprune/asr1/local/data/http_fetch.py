"""Fetch one file over HTTP: resumed where it broke off, retried, with progress.

Only the standard library: what is asked for is one GET with a Range header, and
checks of what servers really answer to it.
"""

from __future__ import annotations

import http.client
import re
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

_CHUNK = 1 << 18
# Worth another try: timeout, too early, too many requests, and the server's own.
_TRANSIENT = {408, 425, 429, 500, 502, 503, 504}


class FetchError(Exception):
    """The file cannot be had; the text is one line with the remedy."""


class Stopped(Exception):
    """The caller's stop event was set; what has been fetched stays for later."""


@dataclass(frozen=True)
class Policy:
    """How patient to be.

    Attributes:
        tries: Attempts in a row that may bring nothing new before giving up.
        backoff: Seconds before the second attempt, doubled for each further one.
        longest_pause: Bound of the doubling, in seconds.
        timeout: Seconds of silence after which a connection counts as broken.
    """

    tries: int = 6
    backoff: float = 1.0
    longest_pause: float = 60.0
    timeout: float = 60.0

    def pause(self, failures: int) -> float:
        """Return how many seconds to wait after so many failures in a row."""
        return min(self.backoff * 2 ** (failures - 1), self.longest_pause)


DEFAULT_POLICY = Policy()


class _Broken(Exception):
    """One attempt failed in a way that another attempt may cure."""

    def __init__(self, reason: object, received: bytes = b""):
        super().__init__(str(reason) or type(reason).__name__)
        self.received = received


def fetch(
    url: str,
    partial: Path,
    policy: Policy = DEFAULT_POLICY,
    progress: Callable[[int, int | None], None] | None = None,
    stop: threading.Event | None = None,
) -> None:
    """Fetch ``url`` into ``partial``, going on from what is there already.

    Args:
        url: http or https.
        partial: The file; on failure it stays, so that a later call can go on.
        policy: Retries and timeouts.
        progress: Called with bytes so far and bytes in all (None: not known).
        stop: When it is set, the transfer ends with ``Stopped``.

    Raises:
        FetchError: The server refuses, or all tries are used up.
        Stopped: ``stop`` was set.
        OSError: ``partial`` cannot be written, for example on a full disk.
    """
    stop = stop or threading.Event()
    failures, furthest = 0, _size(partial)
    while True:
        try:
            _attempt(url, partial, policy, progress, stop)
            return
        except _Broken as error:
            # Only new bytes count as progress: a server that ignores Range and
            # breaks off at the same place each time would go on for ever.
            if _size(partial) > furthest:
                failures, furthest = 0, _size(partial)
            failures += 1
            if failures >= policy.tries:
                raise FetchError(
                    f"{url}: gave up after {failures} tries ({error}); run again to go "
                    f"on from {_size(partial)} bytes, or choose another --data_url"
                ) from None
        if stop.wait(policy.pause(failures)):
            raise Stopped


def fetch_text(url: str, policy: Policy = DEFAULT_POLICY) -> str:
    """Fetch a small text file.

    Raises:
        FetchError: As ``fetch`` does.
    """
    failures = 0
    while True:
        try:
            with _open(url, 0, policy) as response:
                return _read(response, 1 << 20).decode("utf-8", "replace")
        except _Broken as error:
            failures += 1
            if failures >= policy.tries:
                raise FetchError(
                    f"{url}: gave up after {failures} tries ({error}); check the "
                    "network or choose another --data_url"
                ) from None
        time.sleep(policy.pause(failures))


def _attempt(
    url: str,
    partial: Path,
    policy: Policy,
    progress: Callable[[int, int | None], None] | None,
    stop: threading.Event,
) -> None:
    """One connection. Returns when the file is whole as far as its length tells."""
    done = _size(partial)
    with _open(url, done, policy) as response:
        if response.status == 416:
            # Nothing after what we have: whole, or not a beginning of this file.
            if _range_total(response) == done:
                return
            partial.unlink()
            raise _Broken("the server's file is shorter than the partial one")
        if response.status == 206:
            start, total = _range_start(response), _range_total(response)
            if start != done:
                partial.unlink()
                raise _Broken(f"asked for bytes from {done}, was sent from {start}")
        else:  # The server ignores Range and begins anew.
            done = 0
            length = response.headers.get("Content-Length", "")
            total = int(length) if length.isdigit() else None
        with partial.open("ab" if done else "wb") as output:
            while True:
                if stop.is_set():
                    raise Stopped
                if progress:
                    progress(done, total)
                try:
                    chunk = _read(response, _CHUNK)
                except _Broken as error:
                    output.write(error.received)
                    raise
                if not chunk:
                    break
                output.write(chunk)
                done += len(chunk)
    if total is not None and done < total:
        raise _Broken(f"the connection broke off at {done} of {total} bytes")


def _open(url: str, start: int, policy: Policy) -> http.client.HTTPResponse:
    """Send the request; 200, 206 and 416 are answers, all else is raised."""
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError as error:
        raise FetchError(f"{url}: {error}; check --data_url") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise FetchError(f"{url}: not an http(s) address; check --data_url")
    # Compressed transfer would make Range and lengths mean something else.
    headers = {"Accept-Encoding": "identity", "User-Agent": "librispeech-recipe"}
    if start:
        headers["Range"] = f"bytes={start}-"
    request = urllib.request.Request(url, headers=headers)
    try:
        return urllib.request.urlopen(request, timeout=policy.timeout)
    except urllib.error.HTTPError as error:
        if error.code == 416:
            return error  # type: ignore[return-value]
        error.close()
        if error.code in _TRANSIENT:
            raise _Broken(f"HTTP status {error.code}") from None
        raise FetchError(
            f"{url}: the server answers {error.code} {error.reason}; check --data_url"
        ) from None
    except urllib.error.URLError as error:
        raise _Broken(error.reason) from None
    except (http.client.HTTPException, OSError) as error:
        raise _Broken(error) from None


def _read(response: http.client.HTTPResponse, amount: int) -> bytes:
    """Read from the connection; its errors must not look like the disk's."""
    try:
        return response.read(amount)
    except http.client.IncompleteRead as error:
        raise _Broken("the connection broke off", error.partial) from None
    except (http.client.HTTPException, OSError) as error:
        raise _Broken(error) from None


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _range_start(response: http.client.HTTPResponse) -> int | None:
    match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(match[1]) if match else None


def _range_total(response: http.client.HTTPResponse) -> int | None:
    match = re.search(r"/(\d+)$", response.headers.get("Content-Range", ""))
    return int(match[1]) if match else None
