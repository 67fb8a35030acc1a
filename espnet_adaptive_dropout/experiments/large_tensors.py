"""Returns the memory of tensors that are no longer used to the system."""

from __future__ import annotations

import contextlib
import ctypes

# Options of mallopt, and their values in bytes; with smaller ones a repair took up to
# twice the time
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEPT, _LARGE = 64 * 2**20, 2 * 2**20


def return_large_tensors() -> None:
    """Let the memory of every large tensor return to the system as soon as it is gone.

    The C library of Linux does so with the first ones, and then keeps memory between
    tensors that are still there: hundreds of megabytes with a large model. This holds
    for the whole process. Other systems have no such function.
    """
    with contextlib.suppress(AttributeError):
        set_option = ctypes.CDLL(None).mallopt
        set_option(_MMAP_THRESHOLD, _LARGE)
        set_option(_TRIM_THRESHOLD, _KEPT)


def return_small_tensors() -> None:
    """Return the memory of all smaller tensors that are gone by now."""
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
