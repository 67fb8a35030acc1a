"""Progress of parallel jobs, read from their logs."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TextIO

_REPORT_SECONDS = 30.0
_SHOWN_WIDTH = 2000


@dataclass
class Progress:
    """Shows on a stream how far the jobs are."""

    jobs_total: int
    stream: TextIO
    count: str | None = None
    total: int = 0
    follow: str | None = None
    done: int = 0
    counted: int = 0
    started: float = field(default_factory=time.time)
    reported: float = field(default_factory=time.time)

    def read(self, lines: Sequence[str]) -> None:
        """Take note of new log lines."""
        for line in lines:
            if self.count and re.search(self.count, line):
                self.counted += 1
            if self.follow and re.search(self.follow, line):
                self.stream.write(f"{self._clear}{line[:_SHOWN_WIDTH]}\n")
                self.stream.flush()

    def show(self) -> None:
        """Show the state: at once on a terminal, now and then elsewhere."""
        now = time.time()
        pause = 1.0 if self._tty else _REPORT_SECONDS
        if now - self.reported < pause or (self.follow and not self._tty):
            return
        self.reported = now
        text = f"  {self.done}/{self.jobs_total} jobs done"
        if self.count:
            text += f", {self.counted}/{self.total or '?'} items"
        text += f", {now - self.started:.0f} s"
        self.stream.write(self._clear + text + ("" if self._tty else "\n"))
        self.stream.flush()

    def close(self) -> None:
        """Leave a terminal's progress line."""
        if self._tty:
            self.stream.write("\r\033[K")
            self.stream.flush()

    @property
    def _clear(self) -> str:
        return "\r\033[K" if self._tty else ""

    @property
    def _tty(self) -> bool:
        return self.stream.isatty()
