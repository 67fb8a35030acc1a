"""Repair of a cut without training: layers that read removed units are solved again.

Layer by layer, in the order of the computation, the weights become those with which
the layer of the compact encoder comes closest to what the same layer of the original
encoder puts out, on calibration audio.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Sequence

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
from espnet_adaptive_dropout.pruning.least_squares import LinearSums, solve
from espnet_adaptive_dropout.pruning.options import PruneOptions
from espnet_adaptive_dropout.pruning.repair_report import (
    KEPT,
    REPAIRED,
    SKIPPED,
    UNCHANGED,
    LayerRepair,
    Repair,
)
from espnet_adaptive_dropout.pruning.trained import Trained, set_masks

# Of a block, in the order of the computation: name, module, its last layer
_LAYERS = (
    ("ffn_macaron", "feed_forward_macaron", "w_2"),
    ("attention", "self_attn", "linear_out"),
    ("convolution", "conv_module", "pointwise_conv2"),
    ("ffn", "feed_forward", "w_2"),
)
# Relative error below which a layer does what it did before
NEGLIGIBLE = 1e-5
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
    """

    block: int | None
    name: str
    layer: torch.nn.Module
    original: torch.nn.Module


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
    test = [one for one, out in zip(utterances, held_out) if out]
    weights = copy.deepcopy(compact.state_dict())
    before = _encoder_error(original, compact, test)
    layers = _repair_layers(original, compact, utterances, held_out)
    after = _encoder_error(original, compact, test)
    used = after < before
    if not used:
        compact.load_state_dict(weights)
    fitted = len(utterances) - len(test)
    return Repair(fitted, len(test), before, after, used, layers)


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
        for place in places:
            if not isinstance(place.layer, torch.nn.Linear):
                bar.update(len(utterances))
                results.append(LayerRepair(place.block, place.name, SKIPPED))
                continue
            inputs, outputs = place.layer.in_features, place.layer.out_features
            fit, test = LinearSums(inputs, outputs), LinearSums(inputs, outputs)
            for source in sources:
                source.go_to(place.block)
            for index, out in enumerate(held_out):
                target = sources[0].output_of(place.original, index)
                found = sources[1].input_of(place.layer, index)
                (test if out else fit).add(found, target)
                bar.update()
            results.append(_repair_layer(place, fit, test))
    return results


def _places(original: torch.nn.Module, compact: torch.nn.Module) -> Iterator[Place]:
    """Yield the layers in the order of the computation."""
    if _channels(original.embed) != _channels(compact.embed):
        layers = output_layer(compact.embed), output_layer(original.embed)
        yield Place(None, "subsampling", *layers)
    for index, (old, new) in enumerate(zip(original.encoders, compact.encoders)):
        for name, module, layer in _LAYERS:
            if getattr(new, module, None) is not None:
                last = getattr(getattr(new, module), layer)
                yield Place(index, name, last, getattr(old, module))


def _channels(embed: torch.nn.Module | None) -> list[int]:
    if embed is None or not has_two_convolutions(embed):
        return []
    return [embed.conv[index].weight.shape[0] for index in (0, 2)]


def _repair_layer(place: Place, fit: LinearSums, test: LinearSums) -> LayerRepair:
    """Solve a layer; its weights stay if the new ones are no better on held-out audio.

    Args:
        place: the layer.
        fit: sums over the utterances to fit.
        test: sums over the held-out utterances.
    """
    layer = place.layer
    assert isinstance(layer, torch.nn.Linear)
    before = test.relative_error(layer)
    result = LayerRepair(place.block, place.name, UNCHANGED, before, before)
    if fit.relative_error(layer) > NEGLIGIBLE:
        weights = layer.weight.data, None if layer.bias is None else layer.bias.data
        _set(layer, *solve(fit, layer))
        result.result = REPAIRED
        result.after = test.relative_error(layer)
        if not result.after < before:
            _set(layer, *weights)
            result.result, result.after = KEPT, before
    return result


def _set(
    layer: torch.nn.Linear, weight: torch.Tensor, bias: torch.Tensor | None
) -> None:
    layer.weight.data = weight.to(layer.weight).contiguous()
    if layer.bias is not None and bias is not None:
        layer.bias.data = bias.to(layer.bias)


def _encoder_error(
    original: torch.nn.Module, compact: torch.nn.Module, utterances: Sequence[Inputs]
) -> float:
    """Return the error of the output as a share of the size of the original output."""
    error = size = 0.0
    for inputs in utterances:
        expected, _ = encoder_output(original, inputs)
        found, _ = encoder_output(compact, inputs)
        error += float((expected - found).double().square().sum())
        size += float(expected.double().square().sum())
    return (error / max(size, torch.finfo(torch.float32).tiny)) ** 0.5
