"""What a search keeps between its steps: keys and values of the source and the prefix.

They travel with the states of the hypotheses, and the decoder itself holds nothing.
So searches cannot disturb each other, in whatever order, thread or model they run: a
new search has no state, and projects its source anew.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterable, Sequence
from typing import Any, Callable

import torch
from torch.multiprocessing.reductions import StorageWeakRef

from espnet_adaptive_dropout.modules.kept_attention import HeadPairs


class Source:
    """Keys and values of an encoder output, for all layers of a decoder.

    ESPnet's search gives every hypothesis a row of the encoder output: views of one
    row, or copies if several utterances are decoded together. Rows that are equal are
    projected once.

    The object knows the encoder output by its storage, to which it keeps a weak
    reference: the address of a storage is not used again as long as there is one. The
    keys and values are freed together with the encoder output, even if finished
    hypotheses are kept for longer.

    Args:
        memory: encoder output of every hypothesis, (#batch, time, size).
        layers: keys and values of every layer for the rows of :func:`distinct_rows`.
    """

    def __init__(self, memory: torch.Tensor, layers: list[HeadPairs]):
        self._storage = StorageWeakRef(memory.untyped_storage())
        self._identity = _identity(memory)
        self.layers: list[HeadPairs] | None = layers
        if not memory.is_inference():  # of those no owner is known
            self._owner = weakref.ref(_owner(memory), _freeing(self))

    def layers_for(self, memory: torch.Tensor) -> list[HeadPairs] | None:
        """Return keys and values of every layer; None if ``memory`` is another one."""
        return self.layers if self._identity == _identity(memory) else None


def _identity(memory: torch.Tensor) -> tuple:
    """What tells an encoder output from another while its storage is referred to."""
    shared = memory.size(0) == 1 or memory.stride(0) == 0
    geometry = (memory.shape, memory.stride())
    return (
        memory.untyped_storage()._cdata,
        memory.data_ptr(),
        memory.dtype,
        None if memory.is_inference() else memory._version,
        *(part[1:] if shared else part for part in geometry),
    )


def distinct_rows(memory: torch.Tensor) -> torch.Tensor:
    """Return an encoder output without rows that equal their neighbours.

    Every row that is returned stands for the same number of neighbours: the rows
    a a a b b b become a b.

    Args:
        memory: (#batch, time, size).
    """
    batch = memory.size(0)
    if batch == 1 or memory.stride(0) == 0:
        return memory[:1]
    changes = (memory[1:] != memory[:-1]).flatten(1).any(dim=1).nonzero().flatten()
    return memory[:: math.gcd(batch, *(index + 1 for index in changes.tolist()))]


def _owner(memory: torch.Tensor) -> torch.Tensor:
    """The tensor that lives as long as the utterance: ``memory`` is a view of it."""
    return memory if memory._base is None else memory._base


def _freeing(source: Source) -> Callable[[Any], None]:
    known = weakref.ref(source)

    def free(_: Any) -> None:
        alive = known()
        if alive is not None:
            alive.layers = None

    return free


class Prefix(list):
    """Keys and values of the tokens so far: one tensor for every layer.

    The tensors are (#batch, tokens, units) inside the decoder, and (tokens, units) in
    the state of a hypothesis. Copies and pickles are plain lists: the source is then
    projected again.

    Args:
        layers: tensors of the layers.
        source: keys and values of the source.
    """

    def __init__(
        self, layers: Iterable[torch.Tensor] = (), source: Source | None = None
    ):
        super().__init__(layers)
        self.source = source

    def __reduce__(self) -> tuple:
        return list, (list(self),)

    def by_hypothesis(self) -> list[Prefix]:
        """Return the states of the hypotheses."""
        return [Prefix(rows, self.source) for rows in zip(*self)]


def stacked(states: Sequence[Any], memory: torch.Tensor) -> Prefix | None:
    """Return the states of hypotheses as one; None at the start of a search.

    Args:
        states: state of every hypothesis.
        memory: encoder output, to which a state may have the keys and values.
    """
    if states[0] is None:
        return None
    sources = (getattr(state, "source", None) for state in states)
    fitting = (s for s in sources if s is not None and s.layers_for(memory))
    return Prefix((torch.stack(rows) for rows in zip(*states)), next(fitting, None))
