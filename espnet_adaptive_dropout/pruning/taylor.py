"""First-order Taylor importance (Molchanov et al., CVPR 2019) of every unit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from tqdm import tqdm

from espnet_adaptive_dropout.experiments.encoder_entry import (
    main_decoder,
    main_encoder,
)
from espnet_adaptive_dropout.units.group import UnitGroup
from espnet_adaptive_dropout.units.location import Slice
from espnet_adaptive_dropout.units.table import UnitTable

# Encoder and decoder, or one of them
Stacks = Mapping[str, Any]


def taylor_scores(
    table: UnitTable,
    model: torch.nn.Module,
    batches: Iterable[tuple[list[str], dict[str, torch.Tensor]]],
    expected: int,
) -> torch.Tensor:
    """Return the mean of the squared mask gradients, float32 (units,).

    Args:
        table: unit table of the model's encoder, decoder or both.
        model: full-width model in evaluation mode.
        batches: names and tensors of each batch, as ESPnet's iterators yield them.
        expected: number of batches, for the progress bar.

    Raises:
        ValueError: the loss of a batch is not finite.
    """
    device = next(model.parameters()).device
    stacks = {"encoder": main_encoder(model), "decoder": main_decoder(model)}
    total = torch.zeros(table.num_units, dtype=torch.float64)
    count = 0
    bar = tqdm(batches, "taylor", expected, unit="batch", leave=False)
    for names, batch in bar:
        tensors = {key: value.to(device) for key, value in batch.items()}
        loss = model(utt_id=names, **tensors)[0]
        if not torch.isfinite(loss).all():
            raise ValueError(
                "--criterion taylor: the loss of a calibration batch is not finite; "
                "is a text longer than its speech?"
            )
        total += mask_gradients(table, stacks, loss.sum()).double() ** 2
        count += 1
    return (total / max(count, 1)).float()


def mask_gradients(
    table: UnitTable, stacks: Stacks, loss: torch.Tensor
) -> torch.Tensor:
    """Return dL/dm for a mask m = 1 on every unit, float32 (units,), on the CPU.

    Args:
        table: unit table of the stacks, or of one of them.
        stacks: full-width encoder and decoder that ``loss`` was computed with, by
            "encoder" and "decoder".
        loss: the loss L, one element, with its graph.
    """
    slices = _masked_slices(table, stacks)
    parameters = [parameter for _, _, parameter in slices]
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    result = torch.zeros(table.num_units)
    for (group, part, parameter), gradient in zip(slices, gradients):
        if gradient is None:
            continue
        product = (parameter.detach() * gradient).float()
        result[group.span] += part.by_unit(product, group.num_units).sum(dim=1).cpu()
    return result


def _masked_slices(
    table: UnitTable, stacks: Stacks
) -> list[tuple[UnitGroup, Slice, torch.nn.Parameter]]:
    """Return all tensors that masks scale, each with its group and slice."""
    found = []
    for group in table.groups:
        owner = group.owner(stacks[group.stack])
        module = getattr(owner, group.location_spec.module)
        parameters = dict(module.named_parameters(recurse=True))
        for part in group.location_spec.slices:
            masked = part.name in group.location_spec.masked
            if masked and part.name in parameters:
                found.append((group, part, parameters[part.name]))
    return found
