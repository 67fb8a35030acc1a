#!/usr/bin/env python3
"""Run a command as one job or an array of parallel jobs on this machine.

The calling convention is that of Kaldi's run.pl, so that queue.pl or slurm.pl can
take its place in cmd.sh:

    run_parallel.py [--max-jobs-run N] [--gpu N ...] [JOB=1:8] log/x.JOB.log cmd args

The array variable is replaced by the job's number in the log's name and in every
argument. Output goes to the logs. No more jobs run at once than there are
processors; the first failure stops the others and is told in one line.

Two environment variables show what happens inside the logs meanwhile:
RUN_PARALLEL_COUNT (a regular expression whose matches are counted in the progress
bar, out of RUN_PARALLEL_TOTAL) and RUN_PARALLEL_FOLLOW (lines that match are shown).
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from job_progress import Progress

_ARRAY = re.compile(r"([A-Za-z_]\w*)=(\d+)(?::(\d+))?")
_POLL_SECONDS = 0.2


class UsageError(Exception):
    """The command line is not of run.pl's form."""


@dataclass
class Request:
    """What the command line asks for."""

    log: str
    command: list[str]
    variable: str | None = None
    first: int = 1
    last: int = 1
    max_jobs: int = 0

    def numbers(self) -> list[int]:
        """Return the job numbers."""
        return list(range(self.first, self.last + 1))

    def job_log(self, number: int) -> Path:
        """Return the log of a job."""
        return Path(self._fill(self.log, number))

    def job_command(self, number: int) -> list[str]:
        """Return the argument list of a job; one lone argument is a shell line."""
        words = [self._fill(word, number) for word in self.command]
        return ["bash", "-c", words[0]] if len(words) == 1 else words

    def _fill(self, text: str, number: int) -> str:
        return text.replace(self.variable, str(number)) if self.variable else text


def parse_request(words: Sequence[str]) -> Request:
    """Parse a run.pl command line.

    Args:
        words: The arguments after the program's name.

    Returns:
        The parsed request.

    Raises:
        UsageError: No log or no command, or an array that does not count upwards.
    """
    rest = list(words)
    options: dict[str, str] = {}
    while rest and rest[0].startswith("-"):
        if len(rest) < 2:
            raise UsageError(f"option {rest[0]} needs a value")
        options[rest[0].lstrip("-").replace("_", "-")] = rest[1]
        rest = rest[2:]
    array = _ARRAY.fullmatch(rest[0]) if rest else None
    if array:
        rest = rest[1:]
    if len(rest) < 2:
        raise UsageError("usage: run_parallel.py [options] [JOB=1:N] LOG COMMAND...")
    request = Request(rest[0], rest[1:])
    if array:
        request.variable, request.first = array[1], int(array[2])
        request.last = int(array[3] or array[2])
        if not 1 <= request.first <= request.last:
            raise UsageError(f"{array[0]}: the range must go from 1 or more upwards")
        if len(request.numbers()) > 1 and request.variable not in request.log:
            raise UsageError(f"log {request.log} lacks {request.variable}")
    limit = options.get("max-jobs-run", "0")
    if not limit.isdigit():
        raise UsageError(f"--max-jobs-run must be a whole number, not '{limit}'")
    request.max_jobs = int(limit)
    return request


def last_words(log: Path) -> str:
    """Return the last line of a log that is not one of this program's own."""
    lines = log.read_text(errors="replace").splitlines()
    said = [line for line in lines if line.strip() and not line.startswith("#")]
    return said[-1].strip() if said else "(it says nothing)"


@dataclass
class Job:
    """A running job."""

    number: int
    log: Path
    process: subprocess.Popen
    started: float
    offset: int = 0
    tail: bytes = b""

    def finish(self) -> None:
        """Write the closing lines of the log."""
        with self.log.open("a") as stream:
            seconds = time.time() - self.started
            stream.write(f"# Accounting: time={seconds:.0f} threads=1\n")
            code = self.process.returncode
            stream.write(f"# Ended (code {code}) at {time.strftime('%c')}\n")

    def new_lines(self) -> list[str]:
        """Return the whole lines that came into the log since the last call."""
        with self.log.open("rb") as stream:
            stream.seek(self.offset)
            text = self.tail + stream.read()
            self.offset = stream.tell()
        *lines, self.tail = text.split(b"\n")
        return [line.decode(errors="replace") for line in lines]


def start_job(request: Request, number: int) -> Job:
    """Start one job with its output in its log."""
    log = request.job_log(number)
    command = request.job_command(number)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as stream:
        stream.write("# " + " ".join(shlex.quote(word) for word in command) + "\n")
        stream.write(f"# Started at {time.strftime('%c')}\n")
        stream.flush()
        process = subprocess.Popen(
            command,
            stdout=stream,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    return Job(number, log, process, time.time())


def stop_jobs(jobs: Sequence[Job]) -> None:
    """End jobs with everything that they started."""
    for job in jobs:
        try:
            os.killpg(job.process.pid, signal.SIGTERM)
        except ProcessLookupError:
            pass
    for job in jobs:
        job.process.wait()


def run_jobs(request: Request, progress: Progress) -> list[Job]:
    """Run all jobs of a request.

    Args:
        request: What to run.
        progress: Where to show how far it is.

    Returns:
        The jobs that failed; empty when all went well.
    """
    limit = request.max_jobs or os.cpu_count() or 1
    waiting, running = request.numbers(), []
    failed: list[Job] = []
    try:
        while waiting and not failed or running:
            while waiting and not failed and len(running) < limit:
                running.append(start_job(request, waiting.pop(0)))
            for job in list(running):
                ended = job.process.poll() is not None
                progress.read(job.new_lines())
                if not ended:
                    continue
                running.remove(job)
                job.finish()
                progress.done += 1
                if job.process.returncode != 0:
                    failed.append(job)
            if failed:
                stop_jobs(running)
                break
            progress.show()
            if running:
                time.sleep(_POLL_SECONDS)
    except BaseException:
        stop_jobs(running)
        raise
    finally:
        progress.close()
    return failed


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    try:
        request = parse_request(sys.argv[1:] if words is None else words)
    except UsageError as error:
        print(f"run_parallel.py: {error}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    progress = Progress(
        len(request.numbers()),
        sys.stderr,
        os.environ.get("RUN_PARALLEL_COUNT"),
        int(os.environ.get("RUN_PARALLEL_TOTAL") or 0),
        os.environ.get("RUN_PARALLEL_FOLLOW"),
    )
    try:
        failed = run_jobs(request, progress)
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        print(f"run_parallel.py: {error}", file=sys.stderr)
        return 1
    for job in failed[:1]:
        print(
            f"run_parallel.py: job {job.number} of {len(request.numbers())} failed, "
            f"log {job.log}: {last_words(job.log)}",
            file=sys.stderr,
        )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
