"""The cut in the middle of a training: removed units are gone from then on.

Once the masks are frozen, every step multiplies by units that never act. This module
puts the layers of the compact encoder or decoder into the one that is being trained,
with the weights that stay, and cuts the state of its optimizers in the same way. The
next step has the loss and the gradients that it would have had with masks, and costs
what the compact one costs.

Files do not change: the weights and the optimizer's state are written at full width,
with the removed entries as they were at the cut. A checkpoint from after the cut can
therefore be resumed, averaged and pruned like one from before.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from espnet_adaptive_dropout.experiments.checkpoint import without_gates
from espnet_adaptive_dropout.units.surgery import Cut, find_cuts, narrow_all


@dataclasses.dataclass(frozen=True)
class TrainingCut:
    """What was cut out of an encoder or a decoder in training.

    Args:
        full: its state at full width at the moment of the cut, on the CPU.
        cuts: how each tensor of it that loses entries was cut.
    """

    full: dict[str, torch.Tensor]
    cuts: dict[str, Cut]

    def widen(self, state: dict[str, torch.Tensor], prefix: str) -> None:
        """Bring this part of a state to full width, in place.

        Args:
            state: weights by name; those of the encoder or decoder are narrow.
            prefix: prefix of their names in ``state``.
        """
        for name, full in self.full.items():
            if name in self.cuts:
                narrow = state[prefix + name].detach()
                state[prefix + name] = self.cuts[name].widen(narrow.cpu(), full)
            elif prefix + name not in state:  # logits, whose gates are gone
                state[prefix + name] = full


@dataclasses.dataclass(frozen=True)
class Replaced:
    """A weight of another shape in the compact encoder or decoder.

    Args:
        new: the weight there.
        cut: how it was cut. The weight of a pointwise convolution is a matrix there.
        shape: shape of the weight at full width.
    """

    new: torch.nn.Parameter
    cut: Cut
    shape: torch.Size

    def narrow(self, tensor: torch.Tensor) -> torch.Tensor:
        """Cut a tensor of the weight's full shape."""
        return self.cut.narrow(tensor).view_as(self.new)

    def widen(self, tensor: torch.Tensor) -> torch.Tensor:
        """Put a tensor of the new weight's shape back, 0 where it was cut."""
        return self.cut.widen(tensor, tensor.new_zeros(self.shape))


Replacements = dict[torch.nn.Parameter, Replaced]


def cut_training(stack: Any, optimizers: Sequence[torch.optim.Optimizer]) -> None:
    """Cut the units that the gates have decided against out of a running training.

    Call it between two updates. Weights that lose entries become new parameters.

    Args:
        stack: adaptive encoder or decoder whose size is frozen; changed in place.
        optimizers: optimizers of the training; changed in place.

    Raises:
        ValueError: an optimizer keeps state that does not have the shape of the
            weights; nothing has been changed then.
    """
    _check_optimizers(stack, optimizers)
    replacements = _cut_stack(stack)
    for optimizer in optimizers:
        _cut_optimizer(optimizer, replacements)


def _cut_stack(stack: Any) -> Replacements:
    state = {name: value.detach() for name, value in stack.state_dict().items()}
    table = stack.units
    keep = table.decided()
    cuts = find_cuts(state, table, keep, "")
    # New layers are initialised at random: leave the training's random numbers alone.
    with torch.random.fork_rng(devices=[]):
        compact = stack.compact(keep)
    weights = narrow_all(without_gates(state), cuts)
    like = next(stack.parameters())
    compact.to(device=like.device, dtype=like.dtype).train(stack.training)
    compact.load_state_dict({name: weights[name] for name in compact.state_dict()})
    full = {
        name: value.cpu().clone()
        for name, value in state.items()
        if not name.startswith("control.")
    }
    stack.training_cut = TrainingCut(full, cuts)
    replacements = _adopt_parameters(compact, stack, cuts)
    for part in stack.cut_parts:
        setattr(stack, part, getattr(compact, part))
    return replacements


def _adopt_parameters(
    compact: torch.nn.Module, stack: Any, cuts: Mapping[str, Cut]
) -> Replacements:
    """Give ``compact`` the parameters of ``stack``, cut where they lose entries."""
    old = dict(stack.named_parameters())
    replacements: Replacements = {}
    for name, parameter in list(compact.named_parameters()):
        if name.split(".")[0] not in stack.cut_parts:
            continue
        before = old[name]
        trained = before.requires_grad and parameter.requires_grad
        if parameter.shape == before.shape:
            new = before.requires_grad_(trained)
            new.grad = before.grad if trained else None
        else:
            new = torch.nn.Parameter(parameter.detach(), requires_grad=trained)
            replaced = Replaced(new, cuts.get(name, Cut()), before.shape)
            if before.grad is not None and trained:
                new.grad = replaced.narrow(before.grad)
            replacements[before] = replaced
        owner, _, attribute = name.rpartition(".")
        setattr(compact.get_submodule(owner), attribute, new)
    return replacements


def _check_optimizers(
    stack: torch.nn.Module, optimizers: Sequence[torch.optim.Optimizer]
) -> None:
    """Refuse state that cannot be cut as the weights are, with a ValueError."""
    own = set(stack.parameters())
    for optimizer in optimizers:
        for parameter, state in optimizer.state.items():
            for name, value in state.items():
                fits = not torch.is_tensor(value) or value.numel() == 1
                if parameter in own and not fits and value.shape != parameter.shape:
                    raise ValueError(
                        f"{type(optimizer).__name__} keeps {name} of shape "
                        f"{tuple(value.shape)} for a weight of shape "
                        f"{tuple(parameter.shape)}"
                    )


def _cut_optimizer(
    optimizer: torch.optim.Optimizer, replacements: Replacements
) -> None:
    """Let an optimizer go on with the narrow weights and their part of its state."""
    for group in optimizer.param_groups:
        group["params"] = [
            replacements[p].new if p in replacements else p for p in group["params"]
        ]
    for old in [p for p in optimizer.state if p in replacements]:
        replaced = replacements[old]
        state = optimizer.state.pop(old)
        optimizer.state[replaced.new] = {
            name: replaced.narrow(value) if _is_moment(value, old.shape) else value
            for name, value in state.items()
        }
    narrow = {replaced.new: replaced for replaced in replacements.values()}
    optimizer.register_state_dict_post_hook(
        functools.partial(_widen_moments, narrow=narrow)
    )


def _is_moment(value: Any, shape: torch.Size) -> bool:
    return torch.is_tensor(value) and value.dim() > 0 and value.shape == shape


def _widen_moments(
    optimizer: torch.optim.Optimizer,
    state_dict: dict[str, Any],
    narrow: Mapping[torch.nn.Parameter, Replaced],
) -> dict[str, Any]:
    """State of an optimizer at full width, 0 for entries that were cut."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    numbers = [n for group in state_dict["param_groups"] for n in group["params"]]
    states = dict(state_dict["state"])
    for number, parameter in zip(numbers, parameters):
        replaced = narrow.get(parameter)
        if replaced is None or number not in states:
            continue
        states[number] = {
            name: replaced.widen(value) if _is_moment(value, parameter.shape) else value
            for name, value in states[number].items()
        }
    return {**state_dict, "state": states}
