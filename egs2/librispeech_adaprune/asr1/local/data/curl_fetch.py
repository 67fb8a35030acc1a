"""Fetch one file with curl: resumed where the connection broke, and with progress.

The retries are ours because those of curl begin again where the command began.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from tqdm import tqdm

Progress = Callable[[int, "int | None"], None]
_POLL_SECONDS = 0.2
_LONGEST_PAUSE = 60.0
# curl's exit statuses (man curl) that another try may cure: names that cannot be
# resolved, connections that fail, break off or are silent.
_TRANSIENT = {5, 6, 7, 16, 18, 28, 35, 52, 55, 56, 92}
_HTTP_ERROR, _CANNOT_WRITE, _CANNOT_RESUME = 22, 23, 33
# Timeout, too early, too many requests, and what a busy server answers.
_TRANSIENT_HTTP = {408, 425, 429, 500, 502, 503, 504}


class FetchError(Exception):
    """The file cannot be fetched; the message is one line with the remedy."""


class Stopped(Exception):
    """The stop event was set; what has been fetched stays for the next call."""


@dataclass(frozen=True)
class Policy:
    """How patient to be.

    Attributes:
        tries: Attempts in a row that may bring nothing new.
        pause: Seconds before the second attempt, doubled for each further one.
        timeout: Whole seconds without an answer or a byte until an attempt fails.
    """

    tries: int = 6
    pause: float = 1.0
    timeout: int = 60


DEFAULT_POLICY = Policy()


class _Broken(Exception):
    """One attempt failed in a way that another attempt may cure."""


def fetch(
    url: str,
    partial: Path,
    policy: Policy = DEFAULT_POLICY,
    progress: Progress = lambda done, total: None,
    stop: threading.Event | None = None,
) -> None:
    """Fetch ``url`` into ``partial``, continuing what is already there.

    Args:
        url: An http or https address.
        partial: The file; it stays after a failure, so that a later call continues.
        policy: Retries and timeouts.
        progress: Called with the bytes so far and the total (None: not known).
        stop: When it is set, the transfer ends with ``Stopped``.

    Raises:
        FetchError: The server refuses, all tries failed, or the disk is full.
        Stopped: ``stop`` was set.
    """
    stop = stop or threading.Event()
    failures, furthest = 0, _size(partial)
    while True:
        try:
            _attempt(url, partial, policy, progress, stop)
            return
        except _Broken as error:
            reason = error
        # Only new bytes count as progress: a server that cannot resume and breaks off
        # at the same byte each time would otherwise be asked for ever.
        if _size(partial) > furthest:
            failures, furthest = 0, _size(partial)
        failures += 1
        if failures >= policy.tries:
            raise FetchError(
                f"{url}: {failures} tries failed ({reason}); check the network and run "
                f"again to continue from byte {_size(partial)}, or choose another "
                "--data_url"
            )
        pause = min(policy.pause * 2 ** (failures - 1), _LONGEST_PAUSE)
        tqdm.write(f"{url}: {reason}; next try in {pause:.0f} s", file=sys.stderr)
        if stop.wait(pause):
            raise Stopped


def _attempt(
    url: str,
    partial: Path,
    policy: Policy,
    progress: Progress,
    stop: threading.Event,
) -> None:
    """Run curl once; return when the file is complete."""
    limit = str(policy.timeout)
    command = ["curl", "--fail", "--silent", "--show-error", "--location"]
    command += ["--proto", "=http,https", "--connect-timeout", limit]
    command += ["--speed-limit", "1", "--speed-time", limit, "--dump-header", "-"]
    command += ["--continue-at", "-", "--output", str(partial), url]
    try:
        curl = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except FileNotFoundError:
        raise FetchError(
            "curl is not installed; install it (Debian, Ubuntu: apt-get install curl)"
        ) from None
    headers = b""
    os.set_blocking(curl.stdout.fileno(), False)
    with curl:
        try:
            while curl.poll() is None:
                headers += curl.stdout.read() or b""
                progress(_size(partial), _total(headers))
                if stop.is_set():
                    raise Stopped
                try:
                    curl.wait(_POLL_SECONDS)
                except subprocess.TimeoutExpired:
                    pass
        finally:
            curl.kill()
        headers += curl.stdout.read() or b""
        said = curl.stderr.read().decode(errors="replace")
    if curl.returncode:
        _explain(curl.returncode, headers, said, url, partial)
    progress(_size(partial), _total(headers))


def _explain(status: int, headers: bytes, said: str, url: str, partial: Path) -> None:
    """Raise what an exit status of curl means; return if the file is complete."""
    # curl: (6) Could not resolve host: example.org
    lines = said.strip().splitlines() or [f"curl ended with status {status}"]
    reason = re.sub(r"^curl: \(\d+\) ", "", lines[0])
    codes = re.findall(rb"^HTTP/\S+ (\d+)", headers, re.MULTILINE)
    code = int(codes[-1]) if status == _HTTP_ERROR and codes else 0
    if code == 416:  # Nothing follows the bytes that we have.
        if _total(headers) == _size(partial):
            return
        partial.unlink()
        raise _Broken("the file on the server is shorter than the one begun here")
    if status == _CANNOT_RESUME:
        partial.unlink()
        raise _Broken("the server cannot resume, beginning again")
    if status == _CANNOT_WRITE:
        free = shutil.disk_usage(partial.parent).free / 1e6
        raise FetchError(
            f"{partial}: cannot be written; is the disk full ({free:.0f} MB free) or "
            "the directory write-protected?"
        )
    # Below 0: ended by a signal, for example by Ctrl-C, which all of us receive.
    if status in _TRANSIENT or code in _TRANSIENT_HTTP or status < 0:
        raise _Broken(reason)
    raise FetchError(f"{url}: {reason}; check --data_url")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _total(headers: bytes) -> int | None:
    """Return the size of the whole file that the answer's headers tell."""
    found = re.findall(
        rb"^content-(?:length: *|range: *bytes.*/)(\d+)", headers, re.I | re.M
    )
    return max(map(int, found)) if found else None
