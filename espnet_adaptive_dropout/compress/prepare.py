"""Data for the work on a model: what it is calibrated on, and what is held out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Callable

from espnet_adaptive_dropout.compress import work
from espnet_adaptive_dropout.compress.audio import Utterances, read_data
from espnet_adaptive_dropout.compress.recognise import Recogniser, Recognition
from espnet_adaptive_dropout.compress.selection import (
    HELD_OUT_SHARE,
    hold_out,
    usable,
)
from espnet_adaptive_dropout.compress.written import (
    Written,
    common_texts,
    write_data,
)

# Texts that a task is trained on; what a model recognises has them too.
LABELS = {"s2t": ("text", "text_prev", "text_ctc")}


@dataclasses.dataclass
class Material:
    """The utterances that the user gave, in two parts.

    Args:
        pool: utterances to work on.
        held_out: utterances for the comparison at the end.
        transcribed: whether all held-out ones have a transcript.
        left_out: number of utterances that are too short or too long.
    """

    pool: Utterances
    held_out: Utterances
    transcribed: bool
    left_out: int


def labels_of(task: str) -> tuple[str, ...]:
    """Return the names of the texts that models of a task are trained on."""
    return LABELS.get(task, ("text",))


def material(
    data: Sequence[str], held_out: str | None, task: str, say: Callable[[str], None]
) -> Material:
    """Read the data, and hold a part out.

    Args:
        data: directories.
        held_out: share to hold out, or a directory; None for a tenth.
        task: name of a module of ``espnet2.tasks``.
        say: is called with a line about the data.

    Raises:
        ValueError: the data cannot be read or are too few.
    """
    everything, left_out = usable(read_data(data))
    share, directory = _share(held_out)
    if directory is None:
        pool, out = hold_out(everything, share)
    else:
        pool, (out, more) = everything, usable(read_data([directory]))
        left_out += more
        if not pool or not out:
            raise ValueError("--data, --held_out: no utterance that can be used in one")
    names = common_texts(out)
    transcribed = set(labels_of(task)) <= set(names)
    with_labels = sum(has_labels(one.texts, task) for one in pool.values())
    say(
        f"data: {len(pool)} utterances to work on, {with_labels} with transcripts; "
        f"{len(out)} held out, {'with' if transcribed else 'without'} transcripts"
        + (f"; {left_out} left out as too short or too long" if left_out else "")
    )
    return Material(pool, out, transcribed, left_out)


def has_labels(texts: dict[str, str], task: str) -> bool:
    """Whether the texts of an utterance are all that models of a task train on."""
    return all(texts.get(name) for name in labels_of(task))


def _share(held_out: str | None) -> tuple[float, str | None]:
    """Parse --held_out: a share, or a directory."""
    if held_out is None:
        return HELD_OUT_SHARE, None
    try:
        share = float(held_out)
    except ValueError:
        return 0.0, held_out
    if not 0.0 < share <= 0.5:
        raise ValueError(
            f"--held_out {held_out}: must be a share above 0 and up to 0.5, or a "
            f"directory of audio"
        )
    return share, None


def labelled(
    utterances: Utterances,
    directory: Path,
    recogniser: Recogniser,
    rate: int,
) -> tuple[Written, int]:
    """Write a data directory in which every utterance has labels.

    Where the user gave none, they are what the model recognises. Utterances in which
    it recognises nothing are left out.

    Args:
        utterances: the utterances.
        directory: the directory.
        recogniser: the model as it was.
        rate: sampling rate of the model in Hz.

    Returns:
        The directory, and the number of utterances that were labelled here.

    Raises:
        ValueError: audio cannot be read, or nothing is recognised in any.
    """
    task = recogniser.task
    missing = {n: u for n, u in utterances.items() if not has_labels(u.texts, task)}
    new: dict[str, dict[str, str]] = {}
    if missing:
        data = write_data(missing, directory, rate)
        new = recogniser(data, "labels", directory / work.LABELS).texts
    names = labels_of(task)
    complete = {
        name: dataclasses.replace(one, texts=new.get(name, one.texts))
        for name, one in utterances.items()
    }
    kept = {
        name: dataclasses.replace(one, texts={n: one.texts[n] for n in names})
        for name, one in complete.items()
        if has_labels(one.texts, task)
    }
    if not kept:
        raise ValueError(
            "--data: the model recognises nothing in any utterance; is it speech, of "
            "the language of the model?"
        )
    return write_data(kept, directory, rate), sum(name in kept for name in new)


def spoken(recognition: Recognition, task: str) -> dict[str, str]:
    """Return the text of each utterance that is compared with others."""
    name = "text_ctc" if task == "s2t" else "text"
    return {key: texts[name] for key, texts in recognition.texts.items()}


def references(utterances: Utterances, task: str) -> dict[str, str]:
    """Return the transcripts of utterances that all have one."""
    name = "text_ctc" if task == "s2t" else "text"
    return {key: one.texts[name] for key, one in utterances.items()}
