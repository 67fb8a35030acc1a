"""Build a whole corpus directory, or nothing."""

from __future__ import annotations

import contextlib
import fcntl
import json
import multiprocessing
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from tqdm import tqdm

from synth import layout
from synth.errors import SynthError
from synth.plan import Chapter, make_plan, seconds
from synth.reading import read_chapter
from synth.sizes import SIZES

VERSION = 1
_BYTES_PER_SECOND = 24_000  # of FLAC, rounded up


def build(output: Path, size: str, scale: float, jobs: int) -> str:
    """Make ``output/LibriSpeech``, unless it is there already.

    Everything is written to a hidden directory, which is renamed at the end.

    Args:
        output: Directory that will hold ``LibriSpeech``.
        size: A key of ``SIZES``.
        scale: Factor on the amount of speech.
        jobs: Number of worker processes; does not change the result.

    Returns:
        A summary of a few lines.

    Raises:
        SynthError: A fault that the user can correct.
    """
    seed = SIZES[size].seed
    settings = {"size": size, "scale": scale, "seed": seed, "version": VERSION}
    final = output / "LibriSpeech"
    if final.exists():
        _check_same(final, settings)
        return f"{final} is there already with these settings: nothing to do"
    plan = make_plan(SIZES[size].scaled(scale), seed)
    # A fixed name, under the lock: the next run removes what a killed one left behind.
    partial = output / ".LibriSpeech.unfinished"
    try:
        output.mkdir(parents=True, exist_ok=True)
        with _locked(output), _removed_on_failure(partial):
            _check_space(output, plan)
            lengths = _read_all(plan, partial, jobs)
            layout.write_tables(partial, lengths, settings, SIZES[size])
            partial.rename(final)
    except OSError as error:
        where = error.filename or output
        raise SynthError(f"cannot write {where}: {error.strerror}") from None
    return f"{layout.summary(lengths)}{final} is complete"


def _check_same(final: Path, settings: dict) -> None:
    try:
        found = json.loads((final / layout.SETTINGS).read_text(encoding="ascii"))
    except (OSError, ValueError):
        raise SynthError(
            f"{final} exists and was not made by this program; choose another --output"
        ) from None
    if found != settings:
        raise SynthError(
            f"{final} was made with other settings ({found}, not {settings}); "
            "remove it or choose another --output"
        )


def _check_space(output: Path, plan: list[Chapter]) -> None:
    texts = (text for chapter in plan for text in chapter.sentences)
    needed = _BYTES_PER_SECOND * sum(map(seconds, texts))
    free = shutil.disk_usage(output).free
    if free < needed:
        raise SynthError(
            f"{output} has {free / 1e6:.0f} MB free, the corpus needs about "
            f"{needed / 1e6:.0f} MB; make room or lower --scale"
        )


def _read_all(plan: list[Chapter], root: Path, jobs: int) -> dict[Chapter, float]:
    """Read every chapter in worker processes; return the lengths in seconds."""
    total = sum(len(chapter.sentences) for chapter in plan)
    lengths: dict[Chapter, float] = {}
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="synth")))
        # Spawned, so that no library loaded here is loaded there.
        pool = ProcessPoolExecutor(
            max_workers=min(jobs, len(plan)),
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start_worker,
        )
        stack.callback(pool.shutdown, wait=True, cancel_futures=True)
        bar = stack.enter_context(
            tqdm(total=total, desc="synthesising", unit="utt", mininterval=0.5)
        )
        with _interrupts_held():
            futures = {pool.submit(read_chapter, c, root, scratch): c for c in plan}
        try:
            for future in as_completed(futures):
                chapter = futures[future]
                lengths[chapter] = future.result()
                bar.update(len(chapter.sentences))
        except BrokenProcessPool:
            raise SynthError(
                "a synthesis process was killed (out of memory?); lower --nj"
            ) from None
    return {chapter: lengths[chapter] for chapter in plan}


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Let processes started meanwhile ignore Ctrl-C: they inherit the signal mask."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker() -> None:
    """Make a worker end when the main process does, however that ends."""
    parent = multiprocessing.parent_process()

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


@contextlib.contextmanager
def _locked(output: Path) -> Iterator[None]:
    """Keep a second run out of the same directory."""
    handle = os.open(output, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise SynthError(
            f"another run is writing to {output}; wait for it to end"
        ) from None
    finally:
        os.close(handle)


@contextlib.contextmanager
def _removed_on_failure(partial: Path) -> Iterator[None]:
    """Remove what an interrupted run left, and what this one leaves if it fails."""
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
