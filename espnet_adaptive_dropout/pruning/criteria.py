"""The pruning criteria, which rank the units, and their registry.

The registry is an ESPnet ClassChoices: add your own :class:`Criterion` to
``criterion_choices.classes``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from espnet2.train.class_choices import ClassChoices
from tqdm import tqdm

from espnet_adaptive_dropout.experiments.calibration import calibration_inputs
from espnet_adaptive_dropout.experiments.data import labelled_batches, triplets
from espnet_adaptive_dropout.experiments.encoder_entry import main_encoder
from espnet_adaptive_dropout.pruning.activation import activation_scores
from espnet_adaptive_dropout.pruning.criterion import (
    Criterion,
    EverywhereCriterion,
    Scores,
    check_whole,
    relative_to_group,
)
from espnet_adaptive_dropout.pruning.taylor import taylor_scores
from espnet_adaptive_dropout.pruning.trained import Trained
from espnet_adaptive_dropout.units.table import UnitTable


class Retention(Criterion):
    """The logits of the retention probabilities that adaptive dropout has learned."""

    needs_target = False

    def __call__(self, table: UnitTable, trained: Trained) -> Scores:
        scores = torch.zeros(table.num_units)
        candidates = torch.zeros(table.num_units, dtype=torch.bool)
        for group in table.groups:
            logits = trained.learnt_logits(group)
            if logits is not None:
                scores[group.span] = logits.float()
                candidates[group.span] = True
        if not candidates.any():
            raise ValueError(
                "the checkpoint has no gates, which '--criterion retention' needs; "
                "train with 'encoder: adaptive_dropout_conformer' (or 'decoder: "
                "adaptive_dropout_transformer'), or choose another criterion"
            )
        return scores, candidates


@dataclasses.dataclass
class Magnitude(EverywhereCriterion):
    """Norm of all weights of a unit, relative to the mean of its location and block.

    Args:
        norm: 1 or 2.
        locations: names of locations; None takes those that are gated by default.

    Raises:
        ValueError: an option is out of range.
    """

    norm: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.norm not in (1, 2):
            raise ValueError(f"--criterion_conf norm={self.norm}: must be 1 or 2")

    def __call__(self, table: UnitTable, trained: Trained) -> Scores:
        scores = torch.zeros(table.num_units)
        for group in table.groups:
            for part in group.location_spec.slices:
                tensor = trained.state.get(trained.key(group, part.name))
                if tensor is None or "running" in part.name:
                    continue
                entries = part.by_unit(tensor.float(), group.num_units)
                scores[group.span] += entries.abs().pow(self.norm).sum(dim=1)
        sizes = scores.pow(1.0 / self.norm)
        return relative_to_group(table, sizes), self.candidates(table)


@dataclasses.dataclass
class Random(EverywhereCriterion):
    """A random order: the baseline that any criterion has to beat.

    Args:
        seed: seed of the random order.
        locations: names of locations; None takes those that are gated by default.
    """

    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("seed", self.seed, 0)

    def __call__(self, table: UnitTable, trained: Trained) -> Scores:
        generator = torch.Generator().manual_seed(self.seed)
        return torch.rand(table.num_units, generator=generator), self.candidates(table)


@dataclasses.dataclass
class Taylor(EverywhereCriterion):
    """Squared change of the loss, to first order, if a unit were removed.

    The score of a unit is the mean over calibration batches of (dL/dm)^2, where m is a
    mask on the unit and L the model's loss in evaluation mode. dL/dm is the sum of
    weight times gradient over the unit's slices on one side of the mask. The gates of
    a model trained with adaptive dropout are those of evaluation, so that the units
    that they remove score 0.

    Args:
        batches: number of calibration batches.
        batch_size: number of utterances in a batch.
        data: "path,name,type" triplets, speech and text; None takes the training data
            of the config.
        norm_by_group: divide the scores by their mean over the location and block;
            the paper (Molchanov et al.) compares scores across layers as they are.
        seed: seed of the random choice of utterances.
        locations: names of locations; None takes those that are gated by default.

    Raises:
        ValueError: an option is out of range.
    """

    batches: int = 16
    batch_size: int = 8
    data: Sequence[Any] | None = None
    norm_by_group: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("batches", 1), ("batch_size", 1), ("seed", 0)):
            check_whole(name, getattr(self, name), least)
        if not isinstance(self.norm_by_group, bool):
            raise ValueError(
                f"--criterion_conf norm_by_group={self.norm_by_group}: must be true or "
                f"false"
            )

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


@dataclasses.dataclass
class Activation(EverywhereCriterion):
    """How much a unit of the encoder contributes, on audio without labels.

    The equation is that of :func:`activation_scores`. The audio is that of ``--data``
    or, without it, the validation data. The gates of a model trained with adaptive
    dropout are those of evaluation, so that the units that they remove score 0.

    Args:
        utterances: number of utterances, chosen at random.
        locations: names of locations; None takes those that are gated by default.

    Raises:
        ValueError: an option is out of range.
    """

    utterances: int = 128

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("utterances", self.utterances, 1)

    def __call__(self, table: UnitTable, trained: Trained) -> Scores:
        if any(group.stack != "encoder" for group in table.groups):
            raise ValueError(
                "--criterion activation: ranks the units of an encoder by audio alone; "
                "choose taylor or magnitude for a decoder"
            )
        model = trained.as_trained()
        try:
            inputs = calibration_inputs(
                trained.task, model, trained.config, self.utterances, trained.data
            )
        except ValueError as error:
            raise ValueError(f"--criterion activation: {error}") from None
        if not inputs:
            raise ValueError(
                "--criterion activation: all utterances are too short for the encoder"
            )
        bar = tqdm(inputs, "activation", unit="utt", leave=False)
        scores = activation_scores(table, main_encoder(model), bar)
        scores[~trained.own_keep()] = 0.0  # queries are measured before their gate
        return scores, self.candidates(table)


criterion_choices = ClassChoices(
    "criterion",
    classes=dict(
        retention=Retention,
        magnitude=Magnitude,
        taylor=Taylor,
        activation=Activation,
        random=Random,
    ),
    type_check=Criterion,
    default="retention",
)
