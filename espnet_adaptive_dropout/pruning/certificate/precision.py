"""Lets modules compute in double precision for a while."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import torch


@contextlib.contextmanager
def double_precision(modules: Iterable[torch.nn.Module]) -> Iterator[None]:
    """Convert weights and buffers to double precision, and back at the end.

    This is done in place because ESPnet's attention keeps its last attention weights,
    which cannot be copied after a forward pass with gradients.
    """
    with _doubled([tensor for module in modules for tensor in _floats(module)]):
        yield


@contextlib.contextmanager
def encoders_in_double_precision(encoders: Iterable[torch.nn.Module]) -> Iterator[None]:
    """Let encoders compute in double precision, see :func:`double_precision`.

    The modules of the input layer and of the blocks are converted while they run, so
    that only one takes more memory at a time.
    """
    with contextlib.ExitStack() as stack:
        for encoder in encoders:
            owners = list(getattr(encoder, "encoders", ()))
            if getattr(encoder, "embed", None) is not None:
                owners.append(encoder.embed)
            modules = dict.fromkeys(m for owner in owners for m in owner.children())
            inside = {id(tensor) for module in modules for tensor in _floats(module)}
            others = [t for t in _floats(encoder) if id(t) not in inside]
            stack.enter_context(_doubled(others))
            for module in modules:
                stack.enter_context(_while_it_runs(module))
        yield


@contextlib.contextmanager
def _while_it_runs(part: torch.nn.Module) -> Iterator[None]:
    """Convert a module before each of its runs, and back after it."""
    running = contextlib.ExitStack()

    def begin(*_: Any) -> None:
        running.enter_context(double_precision([part]))

    hooks = [
        part.register_forward_pre_hook(begin),
        part.register_forward_hook(lambda *_: running.close(), always_call=True),
    ]
    try:
        yield
    finally:
        running.close()
        for hook in hooks:
            hook.remove()


@contextlib.contextmanager
def _doubled(tensors: list[torch.Tensor]) -> Iterator[None]:
    kept = [tensor.data for tensor in tensors]
    for tensor in tensors:
        tensor.data = tensor.data.double()
    try:
        yield
    finally:
        for tensor, data in zip(tensors, kept):
            tensor.data = data


def _floats(module: torch.nn.Module) -> list[torch.Tensor]:
    """Return the weights and buffers of a floating-point type."""
    tensors = (*module.parameters(), *module.buffers())
    return [tensor for tensor in tensors if tensor.is_floating_point()]
