"""First-order Taylor importance (Molchanov et al., CVPR 2019) of every unit."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import Callable, Optional

import torch
from torch.utils.checkpoint import checkpoint
from tqdm import tqdm

from espnet_adaptive_dropout.experiments.encoder_entry import main_encoder
from espnet_adaptive_dropout.modules.gate import AdaptiveDropout
from espnet_adaptive_dropout.units.table import UnitTable

# Leaf tensors by the keys of the gates, (units,) each
Masks = dict[tuple[Optional[int], str], torch.Tensor]


def taylor_scores(
    table: UnitTable,
    model: torch.nn.Module,
    batches: Iterable[tuple[list[str], dict[str, torch.Tensor]]],
    expected: int,
) -> torch.Tensor:
    """Return the mean of the squared mask gradients, float32 (units,).

    Args:
        table: unit table of the model's encoder, decoder or both, with all gates.
        model: full-width model in evaluation mode.
        batches: names and tensors of each batch, as ESPnet's iterators yield them.
        expected: number of batches, for the progress bar.

    Raises:
        ValueError: the loss of a batch is not finite.
    """
    device = next(model.parameters()).device
    total = torch.zeros(table.num_units, dtype=torch.float64)
    count = 0
    bar = tqdm(batches, "taylor", expected, unit="batch", leave=False)
    blocks = _recomputed(getattr(main_encoder(model), "encoders", ()))
    with _without_gradients(model), blocks, unit_masks(table) as masks:
        for names, batch in bar:
            tensors = {key: value.to(device) for key, value in batch.items()}
            loss = model(utt_id=names, **tensors)[0]
            if not torch.isfinite(loss).all():
                raise ValueError(
                    "--criterion taylor: the loss of a calibration batch is not "
                    "finite; is a text longer than its speech?"
                )
            total += mask_gradients(table, masks, loss.sum()).double() ** 2
            count += 1
    return (total / max(count, 1)).float()


@contextlib.contextmanager
def unit_masks(table: UnitTable) -> Iterator[Masks]:
    """Let the gates multiply by leaf tensors of ones, besides their own masks.

    The gradients of these are all that a backward pass calculates: weights, whose
    gradients would take as much memory as they do themselves, need none.

    Args:
        table: unit table, with a gate for each group.
    """
    masks: Masks = {}

    def shown(gate: AdaptiveDropout, ones: torch.Tensor) -> Callable:
        decided = gate.mask

        def mask(shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
            return decided(shape, dtype) * ones.to(dtype)

        return mask

    try:
        for key, gate in table.gates.items():
            masks[key] = torch.ones_like(gate.logits).requires_grad_()
            gate.mask = shown(gate, masks[key])  # type: ignore[method-assign]
        yield masks
    finally:
        for key in masks:
            del table.gates[key].mask


@contextlib.contextmanager
def _without_gradients(model: torch.nn.Module) -> Iterator[None]:
    """Let no weight require a gradient."""
    changed = [one for one in model.parameters() if one.requires_grad]
    for parameter in changed:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in changed:
            parameter.requires_grad_()


@contextlib.contextmanager
def _recomputed(blocks: Iterable[torch.nn.Module]) -> Iterator[None]:
    """Keep of each block its input alone, and compute the rest again going backward.

    What all blocks compute for a long utterance takes more memory than the model; to
    compute it again takes a quarter more time.
    """
    changed = list(blocks)
    for block in changed:
        block.forward = functools.partial(
            checkpoint, block.forward, use_reentrant=False, preserve_rng_state=False
        )
    try:
        yield
    finally:
        for block in changed:
            del block.forward


def mask_gradients(table: UnitTable, masks: Masks, loss: torch.Tensor) -> torch.Tensor:
    """Return dL/dm for a mask m = 1 on every unit, float32 (units,), on the CPU.

    Args:
        table: unit table.
        masks: see :func:`unit_masks`.
        loss: the loss L, one element, with its graph.
    """
    gradients = torch.autograd.grad(loss, list(masks.values()), allow_unused=True)
    result = torch.zeros(table.num_units)
    for group, gradient in zip(table.gated_groups(), gradients):
        if gradient is not None:
            result[group.span] = gradient.float().cpu()
    return result
