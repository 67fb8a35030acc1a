"""Runs parts of an encoder or a decoder on many utterances, one at a time."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch

from espnet_adaptive_dropout.experiments.features import Inputs
from espnet_adaptive_dropout.experiments.first_call import Call, first_call
from espnet_adaptive_dropout.experiments.on_disk import OnDisk


class _Seen(Exception):
    """Raised to stop a forward pass where nothing more is needed of it."""


def blocks_of(stack: torch.nn.Module) -> torch.nn.ModuleList:
    """Return the blocks of an encoder, or the layers of a decoder."""
    return stack.decoders if hasattr(stack, "decoders") else stack.encoders


class BlockInputs:
    """An encoder or a decoder, and what one of its blocks reads for every utterance.

    The inputs of the block are kept on disk, so that the next layers can be run
    without all those before.

    Args:
        stack: Conformer encoder or Transformer decoder in evaluation mode, of full
            width or compact.
        utterances: its inputs, without padding.
    """

    def __init__(self, stack: torch.nn.Module, utterances: Sequence[Inputs]):
        self.stack = stack
        self.root = stack
        self.utterances = utterances
        self._calls: Sequence[Call] | None = None

    def go_to(self, block: int | None) -> None:
        """Begin later runs at a block, with its present inputs.

        The weights of earlier blocks must not change afterwards.

        Args:
            block: index, not below that of the call before; None: the input layer.
        """
        blocks = blocks_of(self.stack)
        if block is None or self.root is blocks[block]:
            return
        # Intermediate CTC may change what goes from one block to the next.
        follows = block > 0 and self.root is blocks[block - 1]
        follows = follows and not getattr(self.stack, "interctc_layer_idx", None)
        calls = OnDisk()
        for index in range(len(self.utterances)):
            if follows:
                args, more = self._call(index)
                calls.append((self.root(*args, **more), {}))
            else:
                whole = functools.partial(self.utterances[index].run, self.stack)
                calls.append(first_call(blocks[block], whole))
        self._calls, self.root = calls, blocks[block]

    def _call(self, utterance: int) -> Call:
        if self._calls is None:
            one = self.utterances[utterance]
            return (one.features, one.lengths), dict(one.options)
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
