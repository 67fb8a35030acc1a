"""Runs parts of an encoder on many utterances, one at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from espnet_adaptive_dropout.experiments.features import Inputs
from espnet_adaptive_dropout.experiments.on_disk import OnDisk

# Arguments of a module's forward
Call = tuple[tuple[Any, ...], dict[str, Any]]


class _Seen(Exception):
    """Raised to stop a forward pass where nothing more is needed of it."""


class BlockInputs:
    """An encoder, and what one of its blocks reads for every utterance.

    The inputs of the block are kept on disk, so that the next layers can be run
    without all those before.

    Args:
        encoder: Conformer encoder in evaluation mode, of full width or compact.
        utterances: inputs of the encoder, without padding.
    """

    def __init__(self, encoder: torch.nn.Module, utterances: Sequence[Inputs]):
        self.encoder = encoder
        self.root = encoder
        self.utterances = utterances
        self._calls: Sequence[Call] | None = None

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
        follows = follows and not self.encoder.interctc_layer_idx
        calls = OnDisk()
        for index in range(len(self.utterances)):
            if follows:
                args, more = self._call(index)
                calls.append((self.root(*args, **more), {}))
            else:
                whole = self._whole(index)
                calls.append(_stop_at(self.encoder, whole, blocks[block]))
        self._calls, self.root = calls, blocks[block]

    def _whole(self, utterance: int) -> Call:
        """Return the arguments of the whole encoder."""
        one = self.utterances[utterance]
        return (one.features, one.lengths), dict(one.options)

    def _call(self, utterance: int) -> Call:
        if self._calls is None:
            return self._whole(utterance)
        return self._calls[utterance]

    def tensors(
        self,
        utterance: int,
        inputs_of: Sequence[torch.nn.Module] = (),
        output_of: torch.nn.Module | None = None,
    ) -> list[torch.Tensor]:
        """Return what layers of the block read and put out for one utterance.

        Args:
            utterance: index of the utterance.
            inputs_of: layers whose inputs are wanted, in the order of the computation.
            output_of: layer whose output is wanted, not before those.

        Returns:
            The first inputs of the layers, and the output if one is wanted.
        """
        found: list[torch.Tensor] = []
        wanted = len(inputs_of) + (output_of is not None)

        def note(tensor: torch.Tensor) -> None:
            found.append(tensor)
            if len(found) == wanted:
                raise _Seen

        hooks = [
            layer.register_forward_pre_hook(lambda _, args: note(args[0]))
            for layer in inputs_of
        ]
        if output_of is not None:
            hook = output_of.register_forward_hook(lambda _, args, output: note(output))
            hooks.append(hook)
        _until_seen(self.root, self._call(utterance), hooks)
        return found


def _stop_at(root: torch.nn.Module, call: Call, layer: torch.nn.Module) -> Call:
    """Return the arguments that ``layer`` gets in a run of ``root``, ended there."""
    found: list[Call] = []

    def stop(module: torch.nn.Module, args: Any, more: dict[str, Any]) -> None:
        found.append((args, dict(more)))
        raise _Seen

    hook = layer.register_forward_pre_hook(stop, with_kwargs=True)
    _until_seen(root, call, [hook])
    return found[0]


def _until_seen(root: torch.nn.Module, call: Call, hooks: Sequence[Any]) -> None:
    """Run ``root`` until one of ``hooks`` ends the run, and remove the hooks."""
    args, more = call
    try:
        root(*args, **more)
    except _Seen:
        pass
    finally:
        for hook in hooks:
            hook.remove()
