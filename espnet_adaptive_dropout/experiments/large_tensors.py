"""Returns the memory of tensors that are no longer used to the system."""

from __future__ import annotations

import contextlib
import ctypes

# Option of mallopt, and tensors of how many bytes get memory of their own
_MMAP_THRESHOLD, _LARGE = -3, 128 * 1024


def return_large_tensors() -> None:
    """Let the memory of every large tensor return to the system as soon as it is gone.

    The C library of Linux does so with the first ones, and then keeps memory between
    tensors that are still there: hundreds of megabytes with a large model. This holds
    for the whole process, and takes no time. Other systems have no such function.
    """
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, _LARGE)
