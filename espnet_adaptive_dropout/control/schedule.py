"""Pure functions of training progress (0 at the first step, 1 at the last)."""

from __future__ import annotations

# Usual times between the options of a schedule, the first from the start, as shares of
# the training; by experiment.
PAUSES = {"ramp_start": 0.2, "ramp_end": 0.1, "freeze_at": 0.05}
# With control: schedule, which has no cheap rest of the training
PLAIN_PAUSES = {"ramp_start": 0.3, "ramp_end": 0.4, "freeze_at": 0.05}


def usual_time(name: str, control: str, before: float) -> float:
    """Return the usual value of an option of the schedule.

    Args:
        name: key of ``PAUSES``.
        control: "feedback", "lagrangian" or "schedule".
        before: value of the option before it; 0 for the first.
    """
    pauses = PLAIN_PAUSES if control == "schedule" else PAUSES
    return min(round(before + pauses[name], 6), 1.0)


def interpolate(progress: float, start: float, end: float) -> float:
    """Return 0 before ``start``, 1 after ``end`` and a straight line between."""
    if end <= start:
        return float(progress >= end)
    return min(max((progress - start) / (end - start), 0.0), 1.0)


def size_ramp(
    progress: float, initial: float, target: float, start: float, end: float
) -> float:
    """Share of the encoder that should be expected to go at ``progress``.

    Stays at ``initial`` (what the initial retention probabilities give) until
    ``start``, then rises to ``target`` at ``end``, slowly at both ends (3x^2 - 2x^3):
    the logits have momentum, and a corner of the ramp would be overshot.
    """
    x = interpolate(progress, start, end)
    return initial + (target - initial) * x * x * (3.0 - 2.0 * x)


def falling_centre(
    progress: float, first: float, last: float, start: float, end: float
) -> float:
    """The target c(t) of the uncentred L2 penalty, falling in a straight line."""
    return first + (last - first) * interpolate(progress, start, end)
