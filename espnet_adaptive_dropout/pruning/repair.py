"""Repair of a cut without training: layers that read removed units are solved again.

Layer by layer, in the order of the computation, the weights become those with which
the sum of the residual branches in the compact encoder comes closest to that in the
original encoder, on calibration audio.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence

import torch
from tqdm import tqdm

from espnet_adaptive_dropout.experiments.calibration import calibration_inputs
from espnet_adaptive_dropout.experiments.encoder_entry import main_encoder
from espnet_adaptive_dropout.experiments.features import Inputs
from espnet_adaptive_dropout.pruning.block_inputs import BlockInputs
from espnet_adaptive_dropout.pruning.certificate import encoder_output
from espnet_adaptive_dropout.pruning.least_squares import (
    LinearSums,
    solve,
    squared_error,
)
from espnet_adaptive_dropout.pruning.options import PruneOptions
from espnet_adaptive_dropout.pruning.repair_places import (
    Pair,
    Place,
    input_and_target,
    places_of,
)
from espnet_adaptive_dropout.pruning.repair_report import (
    KEPT,
    REPAIRED,
    SKIPPED,
    UNCHANGED,
    LayerRepair,
    Repair,
)
from espnet_adaptive_dropout.pruning.trained import Trained, set_masks

# Relative error below which a layer does what it did before
NEGLIGIBLE = 1e-4
# Of so many utterances one is held out
HELD_OUT = 5


def repair_trained(
    trained: Trained,
    keep: torch.Tensor,
    compact: torch.nn.Module,
    options: PruneOptions,
) -> Repair:
    """Repair a compact model towards the model as trained.

    A cut to a larger size than the trained one has lost nothing: it stays as it is.

    Args:
        trained: experiment that was cut; its masks are set anew.
        keep: units that stayed, without unused ones, bool (units,).
        compact: the model after the cut; its encoder is changed in place.
        options: options of pruning.

    Raises:
        ValueError: there is no audio to repair on.
    """
    wanted = options.repair_utterances
    try:
        if getattr(main_encoder(compact), "ctc_trim", False):
            raise ValueError(
                "encoder_conf.ctc_trim: true removes frames, so that outputs cannot be "
                "compared; leave the repair out"
            )
        inputs = calibration_inputs(
            trained.task,
            trained.model,
            trained.config,
            wanted + -(-wanted // (HELD_OUT - 1)),
            options.data,
        )
        if len(inputs) < 2:
            raise ValueError(
                f"2 utterances that are long enough are needed, and the data have "
                f"{len(inputs)}; pass --data PATH,NAME,TYPE of more audio"
            )
    except ValueError as error:
        raise ValueError(f"--repair true: {error}") from None
    own = trained.own_keep()
    set_masks(trained.table, own if (own & ~keep).any() else keep)
    return repair(main_encoder(trained.model), main_encoder(compact), inputs)


@torch.no_grad()
def repair(
    original: torch.nn.Module, compact: torch.nn.Module, utterances: Sequence[Inputs]
) -> Repair:
    """Solve the layers of a compact encoder again.

    If the output of the encoder does not come closer to the original on the held-out
    utterances, all weights stay as they were.

    Args:
        original: encoder before the cut, in evaluation mode.
        compact: encoder after the cut, in evaluation mode; changed in place.
        utterances: at least two inputs of one utterance each; every fifth, and at
            least one, is held out.
    """
    held_out = [i % HELD_OUT == HELD_OUT - 1 for i in range(len(utterances))]
    held_out[-1] = held_out[-1] or not any(held_out)

    def encoder_error() -> float:
        test = (utterances[i] for i, out in enumerate(held_out) if out)
        return _encoder_error(original, compact, test)

    # Solved layers get tensors of their own; those that they had are kept.
    kept = [(parameter, parameter.data) for parameter in compact.parameters()]
    before = encoder_error()
    layers = _repair_layers(original, compact, utterances, held_out)
    after = encoder_error()
    used = after < before
    if not used:
        for parameter, data in kept:
            parameter.data = data
    count = sum(held_out)
    return Repair(len(utterances) - count, count, before, after, used, layers)


def _repair_layers(
    original: torch.nn.Module,
    compact: torch.nn.Module,
    utterances: Sequence[Inputs],
    held_out: Sequence[bool],
) -> list[LayerRepair]:
    """Repair all layers in their order."""
    sources = BlockInputs(original, utterances), BlockInputs(compact, utterances)
    places = list(places_of(original, compact))
    steps = len(places) * len(utterances)
    results = []
    with tqdm(total=steps, desc="repair", unit="utt", leave=False) as bar:

        def pairs(place: Place, out: bool) -> Iterator[Pair]:
            for index in range(len(utterances)):
                if held_out[index] == out:
                    yield input_and_target(place, *sources, index)
                    bar.update()

        for place in places:
            if not isinstance(place.layer, torch.nn.Linear):
                bar.update(len(utterances))
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
    sums = LinearSums(layer.in_features, layer.out_features)
    error = size = 0.0
    for inputs, targets in fit:
        sums.add(inputs, targets)
        error += squared_error(layer, inputs, targets)
        size += float(targets.double().square().sum())
    solved = None
    if _share(error, size) > NEGLIGIBLE:
        solved = copy.deepcopy(layer)
        _set(solved, *solve(sums, layer))
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


def _set(
    layer: torch.nn.Linear, weight: torch.Tensor, bias: torch.Tensor | None
) -> None:
    layer.weight.data = weight.to(layer.weight).contiguous()
    if layer.bias is not None and bias is not None:
        layer.bias.data = bias.to(layer.bias)


def _encoder_error(
    original: torch.nn.Module, compact: torch.nn.Module, utterances: Iterable[Inputs]
) -> float:
    """Return the error of the output as a share of the size of the original output."""
    error = size = 0.0
    for inputs in utterances:
        expected, _ = encoder_output(original, inputs)
        found, _ = encoder_output(compact, inputs)
        error += float((expected - found).double().square().sum())
        size += float(expected.double().square().sum())
    return _share(error, size)
