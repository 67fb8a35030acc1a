"""What the tests of benchmarks.speed share: one tiny encoder in all forms."""

from __future__ import annotations

import functools

from benchmarks.speed.build import Builder
from benchmarks.speed.choices import Setting, parse_rows
from benchmarks.speed.timing import Device
from benchmarks.speed.work import Work

SETTING = Setting("tiny", 1, 2.0, 1)
# All tests build the same models.
tiny_builder = functools.lru_cache(maxsize=None)(lambda: Builder("tiny"))


def tiny_work(exp, rows="stock,gated,all_54", settings=(SETTING,), **options) -> Work:
    options = {"seconds": 60.0, "rounds": 2, **options}
    work = Work(exp, Device(), "tiny", parse_rows(rows), tuple(settings), **options)
    work.builder = lambda size: tiny_builder()
    return work
