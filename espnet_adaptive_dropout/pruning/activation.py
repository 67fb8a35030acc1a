"""Importance of the encoder's units by how much they act, from audio without labels.

Like Wanda (Sun et al., 2024), but for whole units: activations times the weights that
read them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any, Callable

import torch

from espnet_adaptive_dropout.experiments.features import Inputs
from espnet_adaptive_dropout.units.group import UnitGroup
from espnet_adaptive_dropout.units.location import Slice
from espnet_adaptive_dropout.units.table import UnitTable


class _MeanSquares:
    """Mean square over frames of every channel, float64 (channels,)."""

    def __init__(self) -> None:
        self.total: torch.Tensor | float = 0.0
        self.frames = 0

    def add(self, vectors: torch.Tensor) -> None:
        """Add vectors, (..., channels)."""
        rows = vectors.detach().flatten(0, -2)
        self.total = self.total + rows.double().square().sum(dim=0)
        self.frames += len(rows)

    @property
    def mean(self) -> Any:
        return self.total / max(self.frames, 1)


class _Read:
    """Energy of what each unit adds to the output of the layer that reads it."""

    def __init__(self, group: UnitGroup, module: torch.nn.Module, part: Slice):
        self.part, self.num_units = part, group.num_units
        self.layer: Any = module.get_submodule(part.name.rpartition(".")[0])
        self.inputs = _MeanSquares()

    def hooks(self) -> Iterator[Any]:
        yield self.layer.register_forward_pre_hook(self._note)

    def _note(self, layer: torch.nn.Module, args: Any) -> None:
        is_stock_conv = type(layer) in (torch.nn.Conv1d, torch.nn.Conv2d)
        self.inputs.add(args[0].movedim(1, -1) if is_stock_conv else args[0])

    def energies(self) -> torch.Tensor:
        """Return sum_e E[x_e^2] |w_e|^2 over the entries e of each unit, (units,)."""
        squares = self.layer.weight.detach().double().square()
        ones = [1] * (squares.dim() - 2)
        products = squares * self.inputs.mean.view(1, -1, *ones)
        return self.part.by_unit(products, self.num_units).sum(dim=1)


class _Attended:
    """Energy of what each query unit adds to the scores of the attention."""

    def __init__(self, group: UnitGroup, module: torch.nn.Module):
        self.attention: Any = module
        biases = [getattr(module, f"pos_bias_{name}", None) for name in "uv"]
        self.biases = [0.0 if bias is None else bias.flatten() for bias in biases]
        self.queries = _MeanSquares(), _MeanSquares()
        self.keys, self.positions = _MeanSquares(), _MeanSquares()

    def hooks(self) -> Iterator[Any]:
        def note(name: str, add: Callable[[torch.Tensor], None]) -> Any:
            layer = getattr(self.attention, name)
            return layer.register_forward_hook(lambda _, args, output: add(output))

        yield note("linear_q", self._add_queries)
        yield note("linear_k", self.keys.add)
        if hasattr(self.attention, "linear_pos"):
            yield note("linear_pos", self.positions.add)

    def _add_queries(self, vectors: torch.Tensor) -> None:
        for sums, bias in zip(self.queries, self.biases):
            sums.add(vectors + bias)

    def energies(self) -> torch.Tensor:
        """Return E[(q + u)^2] E[k^2] + E[(q + w)^2] E[p^2] of each unit, (units,).

        These are the means of ((q + u) k)^2 over all pairs of frames, and of
        ((q + w) p)^2 over all pairs of a frame and a position.
        """
        with_keys, with_positions = (one.mean for one in self.queries)
        return with_keys * self.keys.mean + with_positions * self.positions.mean


class _Influence:
    """Size of a module's output beside the sum that it is added to.

    That of the input layer, whose output is the sum itself, is 1.
    """

    def __init__(self, group: UnitGroup, encoder: torch.nn.Module):
        self.in_block = group.block is not None
        self.block: Any = group.owner(encoder)
        self.module: Any = getattr(self.block, group.location_spec.module)
        is_half = group.location_spec.module.startswith("feed_forward")
        self.scale = self.block.ff_scale if is_half else 1.0
        self.outputs, self.sums = _MeanSquares(), _MeanSquares()

    def hooks(self) -> Iterator[Any]:
        def note_sum(layer: torch.nn.Module, args: Any) -> None:
            first = args[0]
            self.sums.add(first[0] if isinstance(first, tuple) else first)

        if self.in_block:
            yield self.block.register_forward_pre_hook(note_sum)
            yield self.module.register_forward_hook(
                lambda _, args, output: self.outputs.add(output)
            )

    def ratio(self) -> float:
        """Return sqrt(E|y|^2 / E|r|^2): module output y, input r of the block."""
        if not self.in_block or not self.sums.frames:
            return 1.0
        ratio = self.outputs.mean.sum() / self.sums.mean.sum().clamp(min=1e-30)
        return self.scale * float(ratio.sqrt())


@torch.no_grad()
def activation_scores(
    table: UnitTable, encoder: torch.nn.Module, utterances: Iterable[Inputs]
) -> torch.Tensor:
    """Return how much each unit contributes to the sum of the residual branches.

    With x_i the activation of unit i, w_i the weights of the layer that reads it, y the
    output of the module as it is added, and r the input of the block,

        s_i = E[x_i^2] |w_i|^2 / sum_j E[x_j^2] |w_j|^2 * sqrt(E[|y|^2] / E[|r|^2])

    where E is the mean over frames and j goes over the units of the location and
    block. Query units are read by keys and positions, see :class:`_Attended`. The root
    is an empirical choice: see benchmarks/RESULTS.md.

    Args:
        table: unit table of the encoder.
        encoder: full-width encoder in evaluation mode, on the CPU.
        utterances: inputs of one utterance each, without padding.

    Returns:
        Scores, float32 (units,), 0 where no unit of a group acts.
    """
    meters = [_meter(group, encoder) for group in table.groups]
    influences = [_Influence(group, encoder) for group in table.groups]
    with contextlib.ExitStack() as stack:
        for meter in (*meters, *influences):
            for hook in meter.hooks():
                stack.callback(hook.remove)
        for inputs in utterances:
            inputs.run(encoder)
    scores = torch.zeros(table.num_units)
    for group, meter, influence in zip(table.groups, meters, influences):
        energies = meter.energies()
        shares = energies / energies.sum().clamp(min=1e-30)
        scores[group.span] = (shares * influence.ratio()).float()
    return scores


def _meter(group: UnitGroup, encoder: torch.nn.Module) -> _Read | _Attended:
    """Return what measures a group: the layer with a column per unit, or the keys."""
    module = getattr(group.owner(encoder), group.location_spec.module)
    weights = dict(module.named_parameters())
    for part in group.location_spec.slices:
        if part.axis == 1 and part.name in weights:
            return _Read(group, module, part)
    return _Attended(group, module)
