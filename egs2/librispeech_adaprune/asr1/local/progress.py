#!/usr/bin/env python3
"""Runs a stage of asr.sh and shows how far it is.

    progress.py ./asr.sh OPTIONS... --stage N --stop_stage N

asr.sh prints where the logs of its jobs are. This program reads them while the jobs
run: the epochs of a training with losses, removed share and remaining time, and for
parallel jobs how many have ended and how many utterances are decoded. On a terminal
one line shows the state; elsewhere a line is printed now and then. If the stage fails,
the last line says why and where the log is. Exit status: that of the command.
"""

from __future__ import annotations

import glob
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

# asr.sh names the logs; format_wav_scp.sh (stage 3) names its directory alone.
_LOG = re.compile(r"started\.\.\. log: '(.+)'")
_FORMAT = re.compile(r"format_wav_scp\.sh .* (\S+)$")
# asr.sh prints these for every stage; they say nothing new.
_NOISE = re.compile(r"\) (\./asr\.sh --|Skipped stages:|Successfully finished\.)")
_EPOCH = re.compile(r"(\d+)epoch results: (.*)")
_STARTED = re.compile(r"\d+/\d+epoch started.*")
_REPORT_SECONDS = 30.0


def epoch_summary(number: str, results: str) -> str:
    """Return the gist of ESPnet's long "epoch results" line."""
    train, _, valid = results.partition("[valid]")
    parts = []
    for name in ("loss", "acc"):
        for phase, text in (("train", train), ("valid", valid)):
            found = re.search(rf"[ \]]{name}=([^,]+)", text)
            if found and found[1] != "nan":
                parts.append(f"{phase} {name} {found[1]}")
    found = re.search(r"expected_reduction=([^,]+)", train)
    if found:
        parts.append(f"share removed {found[1]}")
    found = re.search(r"[ \]]time=([^,]+)", train)
    if found:
        parts.append(found[1])
    return f"  epoch {number}: {', '.join(parts)}"


@dataclass
class Log:
    """A log that grows.

    Attributes:
        path: The file.
        offset: Bytes read so far.
        utterances: Decoded utterances in it.
        ended: Whether run.pl (or queue.pl, slurm.pl) has written the closing line.
    """

    path: Path
    offset: int = 0
    utterances: int = 0
    ended: bool = False

    def new_lines(self) -> list[str]:
        """Return the complete lines that were written since the last call."""
        try:
            if self.path.stat().st_size < self.offset:
                self.offset = 0  # another run has begun the log again
            with self.path.open("rb") as stream:
                stream.seek(self.offset)
                text = stream.read()
        except OSError:
            return []
        end = text.rfind(b"\n") + 1
        self.offset += end
        return text[:end].decode(errors="replace").splitlines()


@dataclass
class Progress:
    """Shows on a stream how far the jobs are whose logs match a pattern."""

    stream: TextIO
    pattern: str = ""
    since: float = 0.0
    logs: dict[str, Log] = field(default_factory=dict)
    reported: float = 0.0

    def follow(self, pattern: str) -> None:
        """Follow other logs from now on, only those written from now on."""
        self.read()
        self.pattern, self.logs, self.since = pattern, {}, time.time() - 2.0
        self.reported = time.time()

    def read(self) -> None:
        """Read what is new in the logs; print the epochs."""
        for name in glob.glob(self.pattern):
            try:
                old = os.path.getmtime(name) < self.since
            except OSError:
                continue
            if name not in self.logs and not old:
                self.logs[name] = Log(Path(name))
        for log in self.logs.values():
            for line in log.new_lines():
                self._take(log, line)

    def _take(self, log: Log, line: str) -> None:
        log.utterances += "INFO: speech length: " in line
        log.ended = log.ended or line.startswith("# Ended (code")
        epoch, started = _EPOCH.search(line), _STARTED.search(line)
        if epoch:
            self.say(epoch_summary(epoch[1], epoch[2]))
        elif started:
            self.say(f"  {started[0]}")

    def show(self) -> None:
        """Show the state: every second on a terminal, now and then elsewhere."""
        pause = 1.0 if self.stream.isatty() else _REPORT_SECONDS
        now = time.time()
        if now - self.reported < pause or "*" not in self.pattern or not self.logs:
            return
        self.reported = now
        text = f"  {sum(log.ended for log in self.logs.values())}/{len(self.logs)} jobs"
        utterances = sum(log.utterances for log in self.logs.values())
        if utterances:
            text += f", {utterances}/{self._all_utterances()} utterances"
        text += f", {now - self.since:.0f} s"
        if self.stream.isatty():
            self.stream.write(f"\r\033[K{text}")
        else:
            self.stream.write(f"{text}\n")
        self.stream.flush()

    def _all_utterances(self) -> int:
        keys = Path(self.pattern).parent.glob("keys.*.scp")
        return sum(len(path.read_bytes().splitlines()) for path in keys)

    def say(self, line: str) -> None:
        """Print a line in place of the state."""
        clear = "\r\033[K" if self.stream.isatty() else ""
        self.stream.write(f"{clear}{line}\n")
        self.stream.flush()

    def reason(self) -> str:
        """Return the last words of a log whose job failed, and its name; or ""."""
        for name, log in sorted(self.logs.items()):
            lines = log.path.read_text(errors="replace").splitlines()
            said = [text for text in lines if text.strip() and text[0] != "#"]
            closing = [text for text in lines if text.startswith("# Ended (code")]
            if said and not (closing and "code 0)" in closing[-1]):
                return f"{said[-1].strip()[:300]} (log: {name})"
        return ""


def pass_on(stream: TextIO, progress: Progress, lock: threading.Lock) -> None:
    """Print what asr.sh prints, and follow the logs that it names."""
    for line in stream:
        line = line.rstrip("\n")
        with lock:
            found, audio = _LOG.search(line), _FORMAT.search(line)
            if found:
                progress.follow(found[1])
            elif audio:
                progress.follow(f"{audio[1]}/logs/format_wav_scp.*.log")
            if not _NOISE.search(line):
                progress.say(line)


def stop(process: subprocess.Popen) -> None:
    """End a command and all that it started on this machine."""
    try:
        os.killpg(process.pid, signal.SIGTERM)
    except ProcessLookupError:
        pass
    process.wait()


def main() -> int:
    """Run the command line; return the exit status."""
    stage, signals = sys.argv[-1], []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: signals.append(number))
    process = subprocess.Popen(
        sys.argv[1:],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    progress, lock = Progress(sys.stdout), threading.Lock()
    reader = threading.Thread(
        target=pass_on, args=(process.stdout, progress, lock), daemon=True
    )
    reader.start()
    while process.poll() is None and not signals:
        with lock:
            progress.read()
            progress.show()
        time.sleep(0.2)
    if signals:
        stop(process)
        print(f"run.sh: interrupted; go on with --stage {stage}", file=sys.stderr)
        return 128 + signals[0]
    reader.join(timeout=5.0)
    progress.read()
    if sys.stdout.isatty():
        sys.stdout.write("\r\033[K")
    if process.returncode:
        reason = progress.reason() or "see above"
        print(f"run.sh: error: stage {stage} failed: {reason}", file=sys.stderr)
    return process.returncode


if __name__ == "__main__":
    sys.exit(main())
