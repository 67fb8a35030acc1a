"""First-order Taylor importance (Molchanov et al., CVPR 2019) of every unit."""

from __future__ import annotations

from typing import Any, List, Optional, Sequence, Tuple

import torch
from tqdm import tqdm

from espnet_adaptive_dropout.experiments.data import labelled_batches, triplets
from espnet_adaptive_dropout.experiments.encoder_entry import main_encoder
from espnet_adaptive_dropout.pruning.criterion import (
    EverywhereCriterion,
    Scores,
    relative_to_group,
)
from espnet_adaptive_dropout.pruning.trained import Trained
from espnet_adaptive_dropout.units.locations import Slice
from espnet_adaptive_dropout.units.table import UnitGroup, UnitTable

# The tensors through which a unit's mask acts linearly. The mask of a feed-forward
# unit comes after the activation, so that only w_2 sees it as a factor: for the rows
# of w_1 the sum of weight times gradient would be another number.
MASKED_SIDE = {
    "ffn_macaron": ("w_2.weight",),
    "query": ("linear_q.weight", "linear_q.bias", "pos_bias_u", "pos_bias_v"),
    "value": ("linear_v.weight", "linear_v.bias"),
    "conv_input": ("pointwise_conv1.weight",),
    "conv_channel": ("pointwise_conv2.weight",),
    "ffn": ("w_2.weight",),
    "subsampling_1": ("conv.2.weight",),
    "subsampling_2": ("out.weight", "out.0.weight"),
}


class Taylor(EverywhereCriterion):
    """Squared change of the loss, to first order, if a unit were removed.

    The score of a unit is the mean over calibration batches of (dL/dm)^2, m a mask on
    the unit, L the model's loss in evaluation mode. dL/dm is the sum of weight times
    gradient over the unit's slices on one side of the mask. A model trained with
    adaptive dropout is taken as it evaluates, so that the units which it has removed
    already score 0.

    Args:
        batches: number of calibration batches.
        batch_size: utterances in each.
        data: "path,name,type" triplets, speech and text; None takes the training data
            of the config.
        norm_by_group: divide by the mean over the location and block; the paper
            compares scores of all layers as they are.
        seed: of the choice of utterances.
        locations: names of locations; None takes the paper's.

    Raises:
        ValueError: an option is out of range.
    """

    def __init__(
        self,
        batches: int = 16,
        batch_size: int = 8,
        data: Optional[Sequence[Any]] = None,
        norm_by_group: bool = False,
        seed: int = 0,
        locations: Optional[List[str]] = None,
    ):
        super().__init__(locations)
        for name, value in (("batches", batches), ("batch_size", batch_size)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(
                    f"--criterion_conf {name}={value}: must be a whole number above 0"
                )
        self.batches = batches
        self.batch_size = batch_size
        self.data = data
        self.norm_by_group = norm_by_group
        self.seed = seed

    def __call__(self, table: UnitTable, trained: Trained) -> Scores:
        source = triplets(
            self.data,
            trained.config,
            "train",
            "--criterion_conf 'data=[\"PATH,NAME,TYPE\",...]'",
        )
        batches = labelled_batches(
            trained.task,
            trained.config,
            source,
            self.batch_size,
            utterances=self.batches * self.batch_size,
            seed=self.seed,
        )
        model = trained.as_trained().to(trained.device)
        try:
            scores = taylor_scores(table, model, batches, self.batches)
        finally:
            model.to("cpu")
        if self.norm_by_group:
            scores = relative_to_group(table, scores)
        return scores, self.candidates(table)


def taylor_scores(
    table: UnitTable, model: torch.nn.Module, batches, expected: int
) -> torch.Tensor:
    """Mean over ``batches`` of the squared mask gradients, float32 (units,).

    Args:
        table: units of the model's encoder.
        model: in evaluation mode.
        batches: (names, tensors) as ESPnet's iterators give them.
        expected: number of batches, for the progress bar.

    Raises:
        ValueError: the loss of a batch is not finite.
    """
    device = next(model.parameters()).device
    total = torch.zeros(table.units, dtype=torch.float64)
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
        total += mask_gradients(table, main_encoder(model), loss.sum()).double() ** 2
        count += 1
    return (total / max(count, 1)).float()


def mask_gradients(
    table: UnitTable, encoder: torch.nn.Module, loss: torch.Tensor
) -> torch.Tensor:
    """dL/dm for a mask m = 1 on every unit, float32 (units,), on the CPU.

    Args:
        table: units of ``encoder``.
        encoder: a full-width Conformer encoder that ``loss`` was computed with.
        loss: one element, not detached.
    """
    slices = _masked_slices(table, encoder)
    parameters = [parameter for _, _, parameter in slices]
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    result = torch.zeros(table.units)
    for (group, part, parameter), gradient in zip(slices, gradients):
        if gradient is None:
            continue
        product = (parameter.detach() * gradient).float()
        result[group.row] += part.by_unit(product, group.units).sum(dim=1).cpu()
    return result


def _masked_slices(
    table: UnitTable, encoder: torch.nn.Module
) -> List[Tuple[UnitGroup, Slice, torch.nn.Parameter]]:
    """All tensors that masks act through, each with what of it belongs to a unit."""
    found = []
    for group in table.groups:
        module = getattr(group.owner(encoder), group.place.module)
        parameters = dict(module.named_parameters(recurse=True))
        for part in group.place.slices:
            masked = part.name in MASKED_SIDE[group.location]
            if masked and part.name in parameters:
                found.append((group, part, parameters[part.name]))
    return found
