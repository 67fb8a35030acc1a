#!/usr/bin/env python3
"""Download LibriSpeech (OpenSLR 12) or Mini LibriSpeech (OpenSLR 31).

Archives are fetched in parallel, resumed, checked against the md5sum.txt of the server
and unpacked to ``<output>/LibriSpeech``. What is there already is used. Interrupt it at
any time; the same command continues.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from corpus_table import OFFICIAL, CorpusError
from curl_fetch import DEFAULT_POLICY, FetchError, Policy, Progress, Stopped, fetch
from subset_archive import is_complete, unpack
from tqdm import tqdm

_CHUNK = 1 << 20


class Download:
    """Download of the subsets of one corpus into a directory.

    Args:
        url: Directory of the archives and of md5sum.txt on the server.
        output: Receives the archives, and the tree as ``LibriSpeech/``.
        checksum: Whether to check archives against md5sum.txt.
        keep: Whether archives stay after they are unpacked.
        policy: Retries and timeouts.
    """

    def __init__(
        self,
        url: str,
        output: Path,
        checksum: bool = True,
        keep: bool = True,
        policy: Policy = DEFAULT_POLICY,
    ):
        self.url = (url if "://" in url else f"http://{url}").rstrip("/")
        self.output = output
        self.tree = output / "LibriSpeech"
        self.checksum = checksum
        self.keep = keep
        self.policy = policy
        self.stop = threading.Event()

    def run(self, subsets: Sequence[str], nj: int) -> None:
        """Download and unpack all subsets that are not there yet.

        Args:
            subsets: For example ``["dev-clean"]``.
            nj: Archives worked on at the same time.

        Raises:
            CorpusError: Something on disk or on the server is not right.
            FetchError: The server cannot be reached or refuses.
            OSError: Writing failed.
        """
        wanted = [name for name in subsets if not is_complete(self.tree, name)]
        if wanted:
            self.tree.mkdir(parents=True, exist_ok=True)
            with _locked(self.output):
                self._run(wanted, nj)

    def _run(self, wanted: Sequence[str], nj: int) -> None:
        self.stop.clear()
        sums = self._checksums(wanted) if self.checksum else {}
        with ThreadPoolExecutor(max(1, nj)) as pool:
            jobs = [
                pool.submit(self._bring, name, sums.get(f"{name}.tar.gz"), row)
                for row, name in enumerate(wanted)
            ]
            try:
                wait(jobs, return_when=FIRST_EXCEPTION)
            finally:
                self.stop.set()  # After an error or Ctrl-C the others end too.
        errors = [job.exception() for job in jobs if job.exception()]
        # The others' Stopped is a consequence; the cause is what the user needs.
        for error in sorted(errors, key=lambda e: isinstance(e, Stopped)):
            raise error

    def _checksums(self, subsets: Sequence[str]) -> dict[str, str]:
        """Fetch md5sum.txt; return the MD5 sum of every archive by its file name."""
        url = f"{self.url}/md5sum.txt"
        file = self.output / ".md5sum.txt.part"
        file.unlink(missing_ok=True)
        sums = {}
        try:
            fetch(url, file, self.policy)
            text = file.read_text(encoding="utf-8", errors="replace")
        except FetchError as error:
            raise FetchError(f"{error}, or give --checksum false") from None
        finally:
            file.unlink(missing_ok=True)
        for line in text.splitlines():
            digest, _, name = line.strip().partition(" ")
            sums[PurePosixPath(name.strip().lstrip("*")).name] = digest.lower()
        missing = [name for name in subsets if f"{name}.tar.gz" not in sums]
        if missing:
            raise CorpusError(
                f"{url} has no line for {missing[0]}.tar.gz; choose another "
                "--data_url, or give --checksum false to go on unchecked"
            )
        return sums

    def _bring(self, subset: str, md5: str | None, row: int) -> None:
        """Fetch, check and unpack one subset."""
        archive = self.output / f"{subset}.tar.gz"
        if archive.is_file():
            found = self._md5(archive, row) if md5 else md5
            if found != md5:
                raise CorpusError(
                    f"{archive}: MD5 {found}, md5sum.txt says {md5}: the file is "
                    "damaged or another one; remove it to download it again"
                )
        else:
            self._fetch_archive(archive, md5, row)
        with self._bar(f"unpack {archive.name}", row) as show:
            unpack(archive, subset, self.tree, show)
        if not self.keep:
            archive.unlink()

    def _fetch_archive(self, archive: Path, md5: str | None, row: int) -> None:
        partial = archive.with_name(f"{archive.name}.part")
        resumed = partial.exists()
        url = f"{self.url}/{archive.name}"
        with self._bar(f"download {archive.name}", row) as show:
            fetch(url, partial, self.policy, show, self.stop)
        found = self._md5(partial, row) if md5 else md5
        if found != md5 and resumed:
            # The beginning may be that of another file: download it once more.
            partial.unlink()
            return self._fetch_archive(archive, md5, row)
        if found != md5:
            partial.unlink()
            raise CorpusError(
                f"{url}: MD5 {found}, md5sum.txt says {md5}: the server or a proxy "
                "sends a wrong file; try again or choose another --data_url"
            )
        partial.replace(archive)

    def _md5(self, path: Path, row: int) -> str:
        digest = hashlib.md5()
        size, done = path.stat().st_size, 0
        label = f"check {path.name}"
        with path.open("rb") as file, self._bar(label, row) as show:
            for chunk in iter(lambda: file.read(_CHUNK), b""):
                digest.update(chunk)
                done += len(chunk)
                show(done, size)
        return digest.hexdigest()

    @contextmanager
    def _bar(self, label: str, row: int) -> Iterator[Progress]:
        """Show progress that also ends the work once ``stop`` is set."""

        def show(done: int, total: int | None) -> None:
            if self.stop.is_set():
                raise Stopped
            show_bytes(done, total)

        with _byte_bar(label, row) as show_bytes:
            yield show


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Keep a second download out of the same directory."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise CorpusError(
            f"another download is writing to {directory}; wait for it to end"
        ) from None
    finally:
        os.close(handle)


@contextmanager
def _byte_bar(label: str, row: int) -> Iterator[Progress]:
    """Show a progress bar that is told positions in bytes instead of increments."""
    with tqdm(
        desc=label,
        position=row,
        unit="B",
        unit_scale=True,
        unit_divisor=1024,
        leave=False,
        # In a log file every refresh is a line.
        mininterval=0.5 if sys.stderr.isatty() else 30.0,
    ) as bar:

        def show(done: int, total: int | None) -> None:
            bar.total = total
            if done < bar.n:  # Begun anew.
                bar.reset(total)
            bar.update(done - bar.n)

        yield show


def main(argv: Sequence[str] | None = None, policy: Policy = DEFAULT_POLICY) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", choices=sorted(OFFICIAL), required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument(
        "--data_url", default="", help="directory of the archives (default: OpenSLR's)"
    )
    parser.add_argument("--nj", type=int, default=4, help="archives at the same time")
    parser.add_argument(
        "--checksum", choices=("true", "false"), default="true", help="check MD5 sums"
    )
    parser.add_argument(
        "--remove_archives",
        choices=("true", "false"),
        default="false",
        help="remove each archive once it is unpacked",
    )
    args = parser.parse_args(argv)
    corpus = OFFICIAL[args.corpus]
    download = Download(
        args.data_url or corpus.url,
        args.output,
        args.checksum == "true",
        args.remove_archives == "false",
        policy,
    )
    try:
        download.run(corpus.subsets, args.nj)
    except (CorpusError, FetchError, OSError) as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, Stopped):
        print(f"{parser.prog}: interrupted; run again to continue", file=sys.stderr)
        return 130
    print(f"{download.tree}: {args.corpus} is complete")
    return 0


if __name__ == "__main__":
    sys.exit(main())
