"""Repair of a cut without training: layers that read removed units are solved again.

Layer by layer, in the order of the computation, the weights become those with which
the sum of the residual branches in the compact encoder comes closest to that in the
original encoder, on calibration audio; and so in a decoder.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence

import torch
from tqdm import tqdm

from espnet_adaptive_dropout.experiments.features import Inputs
from espnet_adaptive_dropout.experiments.large_tensors import return_small_tensors
from espnet_adaptive_dropout.pruning.certificate.certificate import stack_output
from espnet_adaptive_dropout.pruning.repair.block_inputs import BlockInputs
from espnet_adaptive_dropout.pruning.repair.least_squares import (
    LinearSums,
    solve,
    squared_error,
)
from espnet_adaptive_dropout.pruning.repair.places import (
    Pair,
    Place,
    input_and_target,
    places_of,
)
from espnet_adaptive_dropout.pruning.repair.report import (
    KEPT,
    REPAIRED,
    SKIPPED,
    UNCHANGED,
    LayerRepair,
    Repair,
)

# Relative error below which a layer does what it did before
NEGLIGIBLE = 1e-4
# Of so many utterances one is held out
HELD_OUT = 5


@torch.no_grad()
def repair(
    original: torch.nn.Module,
    compact: torch.nn.Module,
    utterances: Sequence[Inputs],
    changed: Sequence[Inputs] | None = None,
) -> Repair:
    """Solve the layers of a compact encoder or decoder again.

    If its output does not come closer to the original on the held-out utterances, all
    weights stay as they were.

    Args:
        original: encoder or decoder before the cut, in evaluation mode.
        compact: the same after the cut, in evaluation mode; changed in place.
        utterances: at least two inputs of one utterance each; every fifth, and at
            least one, is held out.
        changed: inputs of ``compact`` for the same utterances, where they are others.
    """
    inputs = utterances, utterances if changed is None else changed
    held_out = [i % HELD_OUT == HELD_OUT - 1 for i in range(len(utterances))]
    held_out[-1] = held_out[-1] or not any(held_out)

    def output_error() -> float:
        test = (i for i, out in enumerate(held_out) if out)
        return _output_error((original, compact), inputs, test)

    # Solved layers get tensors of their own; those that they had are kept.
    cut = [parameter.data for parameter in compact.parameters()]
    sources = BlockInputs(original, inputs[0]), BlockInputs(compact, inputs[1])
    layers = _repair_layers(list(places_of(original, compact)), sources, held_out)
    solved = [parameter.data for parameter in compact.parameters()]
    after = output_error()
    # Last, as it brings all weights into memory, where the first layer needs much
    _set_all(compact, cut)
    before = output_error()
    used = after < before
    if used:
        _set_all(compact, solved)
    count = sum(held_out)
    return Repair(len(utterances) - count, count, before, after, used, layers)


def _repair_layers(
    places: Sequence[Place],
    sources: tuple[BlockInputs, BlockInputs],
    held_out: Sequence[bool],
) -> list[LayerRepair]:
    """Repair all layers in their order.

    Args:
        places: the layers.
        sources: the original and the compact encoder or decoder.
        held_out: which utterances are held out.
    """
    steps = len(places) * len(held_out)
    results = []
    with tqdm(total=steps, desc="repair", unit="utt", leave=False) as bar:

        def pairs(place: Place, out: bool) -> Iterator[Pair]:
            for index in range(len(held_out)):
                if held_out[index] == out:
                    yield input_and_target(place, *sources, index)
                    bar.update()

        for place in places:
            if not isinstance(place.layer, torch.nn.Linear):
                bar.update(len(held_out))
                results.append(LayerRepair(place.block, place.name, SKIPPED))
                continue
            for source in sources:
                source.go_to(place.block)
            results.append(
                _repair_layer(place, pairs(place, False), pairs(place, True))
            )
    return results


def _repair_layer(
    place: Place, fit: Iterable[Pair], test: Iterable[Pair]
) -> LayerRepair:
    """Solve a layer; its weights stay if the new ones are no better on held-out audio.

    Args:
        place: the layer.
        fit: inputs and targets of the utterances to fit.
        test: those of the held-out utterances.
    """
    layer = place.layer
    assert isinstance(layer, torch.nn.Linear)
    return_small_tensors()
    sums = LinearSums(layer.in_features, layer.out_features)
    error = size = 0.0
    for inputs, targets in fit:
        sums.add(inputs, targets)
        error += squared_error(layer, inputs, targets)
        size += float(targets.double().square().sum())
    solved = None
    if _share(error, size) > NEGLIGIBLE:
        weight, bias = solve(sums, layer)
        del sums  # the largest of all
        solved = copy.deepcopy(layer)
        _set(solved, weight, bias)
    error = size = better = 0.0
    for inputs, targets in test:
        error += squared_error(layer, inputs, targets)
        size += float(targets.double().square().sum())
        if solved is not None:
            better += squared_error(solved, inputs, targets)
    before, after = _share(error, size), _share(better, size)
    if solved is None:
        return LayerRepair(place.block, place.name, UNCHANGED, before, before)
    if not after < before:
        return LayerRepair(place.block, place.name, KEPT, before, before)
    _set(layer, solved.weight.data, None if solved.bias is None else solved.bias.data)
    return LayerRepair(place.block, place.name, REPAIRED, before, after)


def _share(error: float, size: float) -> float:
    """Return the size of an error relative to that of what it is an error of.

    Args:
        error: sum of squares of the error.
        size: sum of squares of what it is an error of.
    """
    return (error / max(size, torch.finfo(torch.float32).tiny)) ** 0.5


def _set_all(stack: torch.nn.Module, weights: Sequence[torch.Tensor]) -> None:
    for parameter, data in zip(stack.parameters(), weights):
        parameter.data = data


def _set(
    layer: torch.nn.Linear, weight: torch.Tensor, bias: torch.Tensor | None
) -> None:
    layer.weight.data = weight.to(layer.weight).contiguous()
    if layer.bias is not None and bias is not None:
        layer.bias.data = bias.to(layer.bias)


def _output_error(
    stacks: tuple[torch.nn.Module, torch.nn.Module],
    inputs: tuple[Sequence[Inputs], Sequence[Inputs]],
    utterances: Iterable[int],
) -> float:
    """Return the error of the output as a share of the size of the original output.

    Args:
        stacks: the original and the compact encoder or decoder.
        inputs: their inputs.
        utterances: indices of the utterances to measure on.
    """
    error = size = 0.0
    for index in utterances:
        (expected, _), (found, _) = (
            stack_output(stack, some[index]) for stack, some in zip(stacks, inputs)
        )
        error += float((expected - found).double().square().sum())
        size += float(expected.double().square().sum())
    return _share(error, size)
