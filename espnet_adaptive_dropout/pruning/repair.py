"""Repair of a cut without training: layers that read removed units are solved again.

Layer by layer, in the order of the computation, the weights become those with which
the sum of the residual branches in the compact encoder comes closest to that in the
original encoder, on calibration audio.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable, Iterator, Sequence

import torch
from tqdm import tqdm

from espnet_adaptive_dropout.experiments.calibration import calibration_inputs
from espnet_adaptive_dropout.experiments.encoder_entry import main_encoder
from espnet_adaptive_dropout.experiments.features import Inputs
from espnet_adaptive_dropout.modules.subsampling import (
    has_two_convolutions,
    output_layer,
)
from espnet_adaptive_dropout.pruning.block_inputs import BlockInputs
from espnet_adaptive_dropout.pruning.certificate import encoder_output
from espnet_adaptive_dropout.pruning.least_squares import (
    LinearSums,
    solve,
    squared_error,
)
from espnet_adaptive_dropout.pruning.prune import PruneOptions
from espnet_adaptive_dropout.pruning.repair_report import (
    KEPT,
    REPAIRED,
    SKIPPED,
    UNCHANGED,
    LayerRepair,
    Repair,
)
from espnet_adaptive_dropout.pruning.trained import Trained, set_masks

# Of a block, in the order of the computation: name, module, its last layer, and the
# layer norm before the module
_LAYERS = (
    ("ffn_macaron", "feed_forward_macaron", "w_2", "norm_ff_macaron"),
    ("attention", "self_attn", "linear_out", "norm_mha"),
    ("convolution", "conv_module", "pointwise_conv2", "norm_conv"),
    ("ffn", "feed_forward", "w_2", "norm_ff"),
)
# Inputs of a layer, (#batch, frames, inputs), and what it should put out
Pair = tuple[torch.Tensor, torch.Tensor]
# Relative error below which a layer does what it did before
NEGLIGIBLE = 1e-4
# Of so many utterances one is held out
HELD_OUT = 5


@dataclasses.dataclass
class Place:
    """A layer that can be solved again.

    Args:
        block: index of its block; None: the input layer.
        name: name of the module that it ends.
        layer: the layer in the compact encoder.
        original: module of the original encoder with the same output.
        residual: the layers, in the compact and in the original encoder, whose input is
            the sum that the output is added to; None: it is not added to anything.
        scale: factor of the output in the new sum.
    """

    block: int | None
    name: str
    layer: torch.nn.Module
    original: torch.nn.Module
    residual: tuple[torch.nn.Module, torch.nn.Module] | None = None
    scale: float = 1.0


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

    weights = copy.deepcopy(compact.state_dict())
    before = encoder_error()
    layers = _repair_layers(original, compact, utterances, held_out)
    after = encoder_error()
    used = after < before
    if not used:
        compact.load_state_dict(weights)
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
    places = list(_places(original, compact))
    steps = len(places) * len(utterances)
    results = []
    with tqdm(total=steps, desc="repair", unit="utt", leave=False) as bar:

        def pairs(place: Place, out: bool) -> Iterator[Pair]:
            for index in range(len(utterances)):
                if held_out[index] == out:
                    yield _input_and_target(place, *sources, index)
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


def _places(original: torch.nn.Module, compact: torch.nn.Module) -> Iterator[Place]:
    """Yield the layers in the order of the computation."""
    if _channels(original.embed) != _channels(compact.embed):
        layers = output_layer(compact.embed), output_layer(original.embed)
        yield Place(None, "subsampling", *layers)
    for index, (old, new) in enumerate(zip(original.encoders, compact.encoders)):
        for name, module, layer, norm in _LAYERS:
            parts = getattr(new, module, None), getattr(old, module, None)
            if parts[0] is None or parts[1] is None:
                continue
            place = Place(index, name, getattr(parts[0], layer), parts[1])
            if not (new.concat_after and module == "self_attn"):
                norms = getattr(new, norm), getattr(old, norm)
                place.residual = norms if new.normalize_before else parts
                place.scale = new.ff_scale if layer == "w_2" else 1.0
            yield place


def _input_and_target(
    place: Place, original: BlockInputs, compact: BlockInputs, utterance: int
) -> Pair:
    """Return what a layer reads in the compact encoder, and what it should put out.

    That is what the module puts out in the original encoder and, because it is added
    to a sum, also what this sum lacks so far.
    """
    if place.residual is None:
        (found,) = compact.tensors(utterance, [place.layer])
        (target,) = original.tensors(utterance, output_of=place.original)
        return found, target
    new, old = place.residual
    present, found = compact.tensors(utterance, [new, place.layer])
    wanted, target = original.tensors(utterance, [old], place.original)
    return found, target + (wanted - present) / place.scale


def _channels(embed: torch.nn.Module | None) -> list[int]:
    if embed is None or not has_two_convolutions(embed):
        return []
    return [embed.conv[index].weight.shape[0] for index in (0, 2)]


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
