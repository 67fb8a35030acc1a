"""Counts multiply-accumulates of an encoder with PyTorch's operator counter."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch.utils.flop_counter import FlopCounterMode

# Attributes of modules with which the counter sees all of their products once: rows
# together, as ESPnet computes them, and without the fused kernel of a CPU, which the
# counter does not know.
_COUNTED = {"rows": None, "use_sdpa": False}


@contextlib.contextmanager
def operator_counter(encoder: torch.nn.Module) -> Iterator[FlopCounterMode]:
    """Count the operations of the forward passes that follow.

    The counter sees matrix products and convolutions, computed in ESPnet's way: a
    compact encoder saves some of them on a CPU (see ``attention_by_head``).

    Args:
        encoder: any Conformer, with gates, compact or neither.

    Yields:
        A counter whose ``get_total_flops()`` is twice the number of
        multiply-accumulates.
    """
    before = [
        (module, name, getattr(module, name))
        for module in encoder.modules()
        for name in _COUNTED
        if name in vars(module)
    ]
    try:
        for module, name, _ in before:
            setattr(module, name, _COUNTED[name])
        with FlopCounterMode(display=False) as counter:
            yield counter
    finally:
        for module, name, value in before:
            setattr(module, name, value)
