"""The arguments that a part of a model gets."""

from __future__ import annotations

from typing import Any, Callable

import torch

# Arguments of a module's forward
Call = tuple[tuple[Any, ...], dict[str, Any]]


class _Captured(Exception):
    """Raised to stop a forward pass once the arguments are known."""


@torch.no_grad()
def first_call(module: torch.nn.Module, run: Callable[[], Any]) -> Call:
    """Return the arguments that a module gets first in a run, which ends there.

    Args:
        module: part of a model.
        run: runs the model.
    """
    captured: list[Call] = []

    def stop(module: torch.nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        captured.append((args, dict(kwargs)))
        raise _Captured

    handle = module.register_forward_pre_hook(stop, with_kwargs=True)
    try:
        run()
    except _Captured:
        pass
    finally:
        handle.remove()
    return captured[0]
