"""Data for the work on a model: what it is calibrated on, and what is held out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Callable

from espnet_adaptive_dropout.compress import work
from espnet_adaptive_dropout.compress.audio import Utterances, read_data
from espnet_adaptive_dropout.compress.labels import Labels
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


@dataclasses.dataclass
class Material:
    """The utterances that the user gave, in two parts.

    Args:
        pool: utterances to work on.
        held_out: utterances for the comparison at the end.
        transcribed: whether all held-out ones have a text to compare with.
        left_out: number of utterances that are too short or too long.
    """

    pool: Utterances
    held_out: Utterances
    transcribed: bool
    left_out: int


def material(
    data: Sequence[str],
    held_out: str | None,
    labels: Labels,
    say: Callable[[str], None],
) -> Material:
    """Read the data, and hold a part out.

    Args:
        data: directories.
        held_out: share to hold out, or a directory; None for a tenth.
        labels: texts that the model is trained on.
        say: is called with a line about the data.

    Raises:
        ValueError: the data cannot be read, are too few, or lack a text that the
            model cannot recognise itself.
    """
    everything, left_out = usable(read_data(data, labels.files))
    share, directory = _share(held_out)
    if directory is None:
        pool, out = hold_out(everything, share)
    else:
        pool = everything
        out, more = usable(read_data([directory], labels.files))
        left_out += more
        if not pool or not out:
            raise ValueError("--data, --held_out: no utterance that can be used in one")
    transcribed = labels.compared in common_texts(out)
    with_labels = sum(labels.complete(one.texts) for one in pool.values())
    if labels.unknown and with_labels < len(pool):
        raise ValueError(
            f"--data: {len(pool) - with_labels} utterances lack "
            f"{' or '.join(labels.names)}, and the model was trained on "
            f"{labels.unknown} but cannot recognise it; give data with all of them"
        )
    say(
        f"data: {len(pool)} utterances to work on, {with_labels} with transcripts; "
        f"{len(out)} held out, {'with' if transcribed else 'without'} transcripts"
        + (f"; {left_out} left out as too short or too long" if left_out else "")
    )
    return Material(pool, out, transcribed, left_out)


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

    Where the user did not give all, they are what the model recognises. Utterances in
    which it recognises nothing are left out.

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
    labels = recogniser.labels
    missing = {n: u for n, u in utterances.items() if not labels.complete(u.texts)}
    new: dict[str, dict[str, str]] = {}
    if missing:
        data = write_data(missing, directory, rate)
        new = recogniser(data, "labels", directory / work.LABELS).texts
    complete = {
        name: dataclasses.replace(one, texts=labels.completed(one.texts, new[name]))
        if name in new
        else one
        for name, one in utterances.items()
    }
    kept = {
        name: dataclasses.replace(one, texts={n: one.texts[n] for n in labels.names})
        for name, one in complete.items()
        if labels.complete(one.texts)
    }
    if not kept:
        raise ValueError(
            "--data: the model recognises nothing in any utterance; is it speech, of "
            "the language of the model?"
        )
    return write_data(kept, directory, rate), sum(name in kept for name in new)


def spoken(recognition: Recognition, labels: Labels) -> dict[str, str]:
    """Return the text of each utterance that is compared with others."""
    return {key: texts[labels.compared] for key, texts in recognition.texts.items()}


def references(utterances: Utterances, labels: Labels) -> dict[str, str]:
    """Return the transcripts of utterances that all have one."""
    return {key: one.texts[labels.compared] for key, one in utterances.items()}
