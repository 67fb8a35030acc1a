"""Which utterances are worked on, and which are held out."""

from __future__ import annotations

import random

from espnet_adaptive_dropout.compress.audio import Utterances
from espnet_adaptive_dropout.compress.waves import seconds

# Utterances held out where the user does not say how many
HELD_OUT_SHARE, HELD_OUT_LEAST, HELD_OUT_MOST = 0.1, 8, 300
HELD_OUT_MINUTES = 20.0
# Lengths of utterances in seconds: what is worked on, and what counts for unknown ones
SHORTEST, LONGEST, USUAL_SECONDS = 0.2, 35.0, 10.0


def usable(utterances: Utterances) -> tuple[Utterances, int]:
    """Leave out utterances that are too short or too long to be worked on.

    Returns:
        The others, and the number of those that were left out.

    Raises:
        ValueError: a file cannot be read as audio.
    """
    kept = {
        name: one
        for name, one in utterances.items()
        if SHORTEST <= (seconds(one.audio) or SHORTEST) <= LONGEST
    }
    return kept, len(utterances) - len(kept)


def hold_out(
    utterances: Utterances, share: float = HELD_OUT_SHARE, seed: int = 0
) -> tuple[Utterances, Utterances]:
    """Hold utterances out at random.

    Args:
        utterances: all utterances.
        share: share to hold out: at least 8 utterances, at most 300 and 20 minutes,
            and never more than half.
        seed: seed of the choice.

    Returns:
        The utterances to work on, and those that are held out.

    Raises:
        ValueError: there are fewer than two.
    """
    if len(utterances) < 2:
        raise ValueError(
            f"--data: {len(utterances)} utterances that can be used, and at least 2 "
            f"are needed (16 and more are better)"
        )
    number = max(round(share * len(utterances)), HELD_OUT_LEAST)
    number = min(number, HELD_OUT_MOST, len(utterances) // 2)
    out = chosen(utterances, number, HELD_OUT_MINUTES, seed)
    kept = {name: one for name, one in utterances.items() if name not in out}
    return kept, out


def chosen(
    utterances: Utterances, number: int, minutes: float, seed: int = 0
) -> Utterances:
    """Choose utterances at random, at least one; in their order.

    Args:
        utterances: utterances to choose from.
        number: most utterances to choose.
        minutes: most minutes of audio to choose.
        seed: seed of the choice.
    """
    names = list(utterances)
    order = random.Random(seed).sample(range(len(names)), min(number, len(names)))
    picked: list[int] = []
    left = 60.0 * minutes
    for index in order:
        length = seconds(utterances[names[index]].audio)
        left -= USUAL_SECONDS if length is None else length
        if left < 0.0 and picked:
            break
        picked.append(index)
    return {names[index]: utterances[names[index]] for index in sorted(picked)}
