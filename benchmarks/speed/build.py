"""Makes the encoders of the rows, all from the same random full-width weights.

The time that an encoder takes depends on how many units each block and head has kept,
not on the weights. Even widths would be too easy, so the units are chosen with the
shape of a real pruning: the share that each location of each block kept in a training
of the toy corpus (three blocks, 54 % removed), stretched over the depth. No data are
needed: the configs are those of ESPnet ASR models fed with features.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy
import torch
from espnet2.tasks.asr import ASRTask

from benchmarks.speed.choices import COMPACT, SIZES, STOCK, Row
from espnet_adaptive_dropout.experiments.encoder_entry import ADAPTIVE
from espnet_adaptive_dropout.experiments.experiment import (
    build_model,
    load_task,
    load_weights,
)
from espnet_adaptive_dropout.experiments.features import Inputs
from espnet_adaptive_dropout.pruning.options import PruneOptions
from espnet_adaptive_dropout.pruning.prune import (
    Ranking,
    compact_experiment_config,
    plan_units,
)
from espnet_adaptive_dropout.pruning.trained import Trained
from espnet_adaptive_dropout.units.locations import by_default, names_of
from espnet_adaptive_dropout.units.surgery import cut_weights
from espnet_adaptive_dropout.units.table import UnitTable
from espnet_adaptive_dropout.units.widths import compact_options

INPUT_SIZE = 80
FRAMES_PER_SECOND = 100
VOCABULARY = 500
# encoder_conf of the stock encoder, whatever its size
ENCODER = dict(
    dropout_rate=0.1,
    positional_dropout_rate=0.1,
    attention_dropout_rate=0.1,
    input_layer="conv2d",
    macaron_style=True,
    rel_pos_type="latest",
    cnn_module_kernel=31,
)
# Location -> share of its units kept in the first, middle and last block. Locations
# that the training did not gate follow their neighbours in the same module.
KEPT = {
    "ffn_macaron": (0.01, 0.18, 0.42),
    "query": (0.07, 0.52, 0.94),
    "value": (0.13, 0.83, 0.98),
    "conv_input": (0.05, 0.98, 0.99),
    "conv_channel": (0.05, 0.98, 0.99),
    "ffn": (0.01, 0.18, 0.28),
}
_DEPTHS = (0.0, 0.5, 1.0)
# Standard deviation of a head's share, as a logit.
_HEADS = 0.5


def asr_config(size: str) -> dict[str, Any]:
    """Training config of a CTC model with the stock encoder, fed with features.

    Args:
        size: key of SIZES.
    """
    # Not ESPnet's get_default_config, which reads this program's command line.
    config = vars(ASRTask.get_parser().parse_args([]))
    words = [f"w{index}" for index in range(VOCABULARY - 3)]
    config.update(
        encoder="conformer",
        encoder_conf={**ENCODER, **SIZES[size]},
        decoder=None,
        frontend=None,
        input_size=INPUT_SIZE,
        normalize=None,
        specaug=None,
        model_conf=dict(ctc_weight=1.0, report_cer=False, report_wer=False),
        token_list=["<blank>", "<unk>", *words, "<sos/eos>"],
        token_type="word",
    )
    return config


def noise(batch: int, seconds: float) -> Inputs:
    """Random features of ``batch`` utterances of the same length."""
    generator = torch.Generator().manual_seed(0)
    frames = int(seconds * FRAMES_PER_SECOND)
    features = torch.randn(batch, frames, INPUT_SIZE, generator=generator)
    return Inputs(features, torch.full((batch,), frames))


class Builder:
    """Models of one size in every form, with ESPnet's own initial weights.

    Args:
        size: key of ``choices.SIZES``.
    """

    def __init__(self, size: str):
        self.size = size
        self.task = load_task("asr")
        self.config = asr_config(size)
        torch.manual_seed(0)
        state = build_model(self.task, self.config).state_dict()
        # As an untrained checkpoint, so that it is planned and cut as a trained one is.
        self.trained = Trained(self.task, self.config, state, Path(f"size {size}"))

    def config_of(self, row: Row) -> dict[str, Any]:
        """Training config of the row's model, whatever its form."""
        if row.base == STOCK:
            return self.config
        keep = self.kept(row)
        if keep is None:
            locations = "all" if row.base.endswith("all") else None
            return self.adaptive_config(locations=locations)
        options = compact_options(self.trained.table, keep)
        return compact_experiment_config(self.config, options)

    def adaptive_config(self, **conf: Any) -> dict[str, Any]:
        """Training config with gates and these ``adaptive_dropout_conf`` options."""
        entry = self.trained.encoder_entry
        options = entry.options(self.config)
        options["adaptive_dropout_conf"] = {"control": "schedule", **conf}
        return entry.replaced(self.config, ADAPTIVE, options)

    def model(self, row: Row) -> torch.nn.Module:
        """The row's model in PyTorch and float32, for inference."""
        model = build_model(self.task, self.config_of(row))
        keep, state = self.kept(row), self.trained.state
        if keep is None:
            # Gates are as they start: all units stay.
            model.load_state_dict({**model.state_dict(), **state})
        else:
            cut = cut_weights(state, self.trained.table, keep, "encoder.")
            load_weights(model, cut, row.name)
        return model.requires_grad_(False).eval()

    def kept(self, row: Row) -> torch.Tensor | None:
        """Units of the row's compact encoder, or None if it is not compact."""
        if row.choice is not None:
            return self.keep(row.choice, row.target)
        units = self.trained.table.num_units
        return torch.ones(units, dtype=torch.bool) if row.base == COMPACT else None

    @functools.cache  # noqa: B019  (lives as long as the command)
    def keep(self, choice: str, target: float) -> torch.Tensor:
        """Units that stay, bool (units,).

        Raises:
            ValueError: the locations cannot give that much.
        """
        if choice == "torch_pruning":
            return self._keep_of_torch_pruning(target)
        table = self.trained.table
        locations = choice.rstrip("0123456789")
        everything = locations == "all"
        chosen = names_of("encoder") if everything else by_default("encoder")
        ranking = Ranking(trained_like_scores(table), ~table.all_except(chosen), True)
        options = PruneOptions(
            target,
            "trained-like",
            budget="location" if everything else "encoder",
            multiple_of=int(choice[len(locations) :] or 1),
        )
        return plan_units(self.trained, ranking, options)[0]

    def _keep_of_torch_pruning(self, target: float) -> torch.Tensor:
        from benchmarks.models import torch_prune
        from benchmarks.models.torch_units import UnitChooser

        full = build_model(self.task, self.config)
        full.load_state_dict(self.trained.state)
        chooser = UnitChooser(full.encoder, tuple(noise(1, 2.0)))
        keep = torch_prune.choose(chooser, full, target)[0]
        return torch_prune.kept_mask(self.trained.table, keep)

    @functools.cache  # noqa: B019
    def full_macs(self, seconds: float) -> Any:
        """Cost in multiply-accumulates for one utterance."""
        return self.trained.cost("macs", int(seconds * FRAMES_PER_SECOND))

    def counts(self, row: Row, seconds: float) -> tuple[int, int]:
        """Parameters and, for one utterance, multiply-accumulates of the encoder."""
        parameters = self.trained.table.parameters
        macs = self.full_macs(seconds)
        keep = self.kept(row)
        gone = torch.zeros(self.trained.table.num_units) if keep is None else ~keep
        return tuple(
            round(cost.total - cost.removed(gone).item()) for cost in (parameters, macs)
        )


def trained_like_scores(table: UnitTable, seed: int = 0) -> torch.Tensor:
    """Importance of every unit, (units,), similar to that of a trained encoder.

    The score of a unit is the logit of its block's share plus a random number for its
    head plus logistic noise.
    """
    generator = torch.Generator().manual_seed(seed)
    last = max(group.block or 0 for group in table.groups)
    parts: list[torch.Tensor] = []
    for group in table.groups:
        share = _share(group.location, group.block, last)
        heads = torch.randn(group.heads, 1, generator=generator) * _HEADS
        noise = torch.rand(group.num_units, generator=generator).clamp(1e-6, 1 - 1e-6)
        scores = torch.logit(noise).view(group.heads, -1) + heads * (group.heads > 1)
        parts.append(scores.flatten() + torch.logit(torch.tensor(share)))
    return torch.cat(parts)


def _share(location: str, block: int | None, last: int) -> float:
    if location not in KEPT:
        return 0.5
    depth = (block or 0) / last if last else 1.0
    return float(numpy.interp(depth, _DEPTHS, KEPT[location]))
