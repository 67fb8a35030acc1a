"""Progress read from logs."""

from __future__ import annotations

import io

from job_progress import Progress


def test_counts_matches_and_reports_on_time():
    stream = io.StringIO()
    progress = Progress(2, stream, count="^done ", total=5)
    progress.read(["done a", "not done b", "done c"])
    progress.show()
    assert stream.getvalue() == ""  # it is too early to say something
    progress.reported -= 60
    progress.show()
    assert "0/2 jobs done, 2/5 items" in stream.getvalue()


def test_follows_without_counting():
    stream = io.StringIO()
    progress = Progress(1, stream, follow="results")
    progress.read(["1epoch results: x", "other"])
    assert stream.getvalue() == "1epoch results: x\n"
