"""Runs parts of an encoder on many utterances, one at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from espnet_adaptive_dropout.experiments.features import Inputs

# Arguments of a module's forward
Call = tuple[tuple[Any, ...], dict[str, Any]]


class _Seen(Exception):
    """Raised to stop a forward pass where nothing more is needed of it."""


class BlockInputs:
    """An encoder, and what one of its blocks reads for every utterance.

    Only the inputs of one block are kept, so that the next layers can be run without
    all those before.

    Args:
        encoder: Conformer encoder in evaluation mode, of full width or compact.
        utterances: inputs of the encoder, without padding.
    """

    def __init__(self, encoder: torch.nn.Module, utterances: Sequence[Inputs]):
        self.encoder = encoder
        self.root = encoder
        self.calls: list[Call] = [
            ((one.features, one.lengths), dict(one.options)) for one in utterances
        ]
        self._whole = self.calls

    def go_to(self, block: int | None) -> None:
        """Begin later runs at a block, with its present inputs.

        The weights of earlier blocks must not change afterwards.

        Args:
            block: index, not below that of the call before; None: the input layer.
        """
        blocks = self.encoder.encoders
        if block is None or self.root is blocks[block]:
            return
        # Intermediate CTC may change what goes from one block to the next.
        follows = block > 0 and self.root is blocks[block - 1]
        if follows and not self.encoder.interctc_layer_idx:
            self.calls = [(self.root(*args, **more), {}) for args, more in self.calls]
        else:
            self.calls = [
                _stop_at(self.encoder, call, blocks[block]) for call in self._whole
            ]
        self.root = blocks[block]

    def input_of(self, layer: torch.nn.Module, utterance: int) -> torch.Tensor:
        """Return the input of a layer of the block for one utterance."""
        call = self.calls[utterance]
        return _stop_at(self.root, call, layer)[0][0]

    def output_of(self, layer: torch.nn.Module, utterance: int) -> torch.Tensor:
        """Return the output of a layer or module of the block for one utterance."""
        call = self.calls[utterance]
        found: list[torch.Tensor] = []

        def stop(module: torch.nn.Module, args: Any, output: torch.Tensor) -> None:
            found.append(output)
            raise _Seen

        _until_seen(self.root, call, layer.register_forward_hook(stop))
        return found[0]


def _stop_at(root: torch.nn.Module, call: Call, layer: torch.nn.Module) -> Call:
    """Return the arguments that ``layer`` gets in a run of ``root``, ended there."""
    found: list[Call] = []

    def stop(module: torch.nn.Module, args: Any, more: dict[str, Any]) -> None:
        found.append((args, dict(more)))
        raise _Seen

    _until_seen(root, call, layer.register_forward_pre_hook(stop, with_kwargs=True))
    return found[0]


def _until_seen(root: torch.nn.Module, call: Call, hook: Any) -> None:
    """Run ``root`` until ``hook`` ends the run, and remove the hook."""
    args, more = call
    try:
        root(*args, **more)
    except _Seen:
        pass
    finally:
        hook.remove()
