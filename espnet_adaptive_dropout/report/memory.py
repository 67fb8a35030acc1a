"""Peak of the memory that the tensors of a forward pass, or of any run, take."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any, Callable

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from espnet_adaptive_dropout.experiments.features import Inputs


def weight_bytes(module: torch.nn.Module) -> int:
    """Bytes of all parameters and buffers."""
    return sum(
        tensor.numel() * tensor.element_size()
        for tensor in (*module.parameters(), *module.buffers())
    )


@torch.no_grad()
def activation_bytes(encoder: torch.nn.Module, inputs: Inputs) -> int:
    """Peak, over one forward pass, of the bytes of the tensors alive at once.

    Weights and inputs are not counted; see :func:`peak_bytes`.
    """
    known = (*encoder.parameters(), *encoder.buffers(), *inputs)
    return peak_bytes(lambda: inputs.run(encoder), known)


def peak_bytes(run: Callable[[], object], known: Iterable[torch.Tensor]) -> int:
    """Peak of the bytes of the tensors that ``run`` makes and that are alive at once.

    Tensors ``known`` before are not counted, nor is what an operator takes for itself
    while it runs. The number is exact and the same on every run and machine, which
    the resident memory of a process is not.
    """
    with _LiveTensors(known) as live:
        run()
    return live.peak


class _LiveTensors(TorchDispatchMode):
    """Follows the storages that operators make until they are gone."""

    def __init__(self, known: Iterable[torch.Tensor]):
        super().__init__()
        self.peak = 0
        self._bytes = 0
        self._alive: set[int] = {t.untyped_storage()._cdata for t in known}

    def __torch_dispatch__(
        self,
        func: Callable,
        types: Any,
        args: tuple = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        tree_map_only(torch.Tensor, self._add, result)
        return result

    def _add(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        identity, size = storage._cdata, storage.nbytes()
        if identity in self._alive:
            return
        self._alive.add(identity)
        self._bytes += size
        self.peak = max(self.peak, self._bytes)
        weakref.finalize(storage, self._remove, identity, size)

    def _remove(self, identity: int, size: int) -> None:
        self._alive.discard(identity)
        self._bytes -= size
