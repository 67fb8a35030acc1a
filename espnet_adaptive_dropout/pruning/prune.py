"""The steps of pruning: rank the units, plan which stay, cut the weights."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import torch

from espnet_adaptive_dropout.experiments.encoder_entry import (
    EXPORTED,
    MODEL,
    encoder_entry,
    stock_model_name,
)
from espnet_adaptive_dropout.pruning.checks import check_frozen_size
from espnet_adaptive_dropout.pruning.criteria import criterion_choices
from espnet_adaptive_dropout.pruning.plan import PruningPlan, compact_options
from espnet_adaptive_dropout.pruning.surgery import cut_weights
from espnet_adaptive_dropout.pruning.trained import (
    Trained,
)
from espnet_adaptive_dropout.units.ranked_cut import even_scores, ranked_cut

# What ESPnet writes into config.yaml and refuses in a ``--config``.
_NOT_OPTIONS = ("required", "version", "distributed")


@dataclasses.dataclass
class PruneOptions:
    """How to prune; options of ``bin.prune``.

    Args:
        target_reduction: share to remove; None takes what the training aimed at.
        criterion: name in ``criterion_choices``.
        criterion_conf: its options.
        data: "path,name,type" triplets of audio for the certificate; None takes the
            validation data of the training.
        utterances: for the certificate.
        tolerance: of the certificate, in double precision.
        cost: what ``target_reduction`` is a share of, "parameters" or "macs"; None
            takes what the training counted.
        cost_frames: input frames of the utterance at which MACs are counted; None
            takes the training's.
        budget: over what the removed share is even, one of ``table.BUDGETS``; None
            takes the training's.
        allow_unfrozen: take a checkpoint from before the training froze its size.
    """

    target_reduction: float | None = None
    criterion: str = "retention"
    criterion_conf: dict[str, Any] = dataclasses.field(default_factory=dict)
    data: list[str] | None = None
    utterances: int = 4
    tolerance: float = 1e-9
    cost: str | None = None
    cost_frames: int | None = None
    budget: str | None = None
    allow_unfrozen: bool = False


@dataclasses.dataclass
class Ranking:
    """What a criterion says of a trained model, for cuts to any size.

    Args:
        scores: importance of every unit, (units,); larger stays longer.
        candidates: which units may go, bool (units,).
        needs_target: whether the scores alone do not say how many stay.
    """

    scores: torch.Tensor
    candidates: torch.Tensor
    needs_target: bool


def rank(trained: Trained, options: PruneOptions) -> Ranking:
    """Ask the criterion for the importance of every unit.

    Raises:
        ValueError: an option of the criterion is refused, or checkpoint or data lack
            what it reads.
    """
    kind = criterion_choices.get_class(options.criterion)
    try:
        criterion = kind(**options.criterion_conf)
    except TypeError as error:
        reason = str(error).replace(f"{kind.__name__}.__init__() ", "")
        raise ValueError(
            f"--criterion {options.criterion}: --criterion_conf {reason}"
        ) from None
    scores, candidates = criterion(trained.table, trained)
    return Ranking(scores, candidates, criterion.needs_target)


def plan_units(
    trained: Trained, ranking: Ranking, options: PruneOptions
) -> tuple[torch.Tensor, PruningPlan]:
    """Choose the units that stay: a closed set, bool (units,), and its description.

    Raises:
        ValueError: no target is known, it is above the bound, or the config's is not
            that of the frozen units.
    """
    target = options.target_reduction
    as_trained = False
    if target is None and trained.is_adaptive:
        if trained.options.control != "schedule" or ranking.needs_target:
            target = trained.options.target_reduction
        if trained.frozen == 1.0:
            check_frozen_size(trained)
            as_trained = not ranking.needs_target and not _cuts_otherwise(
                trained, options
            )
    if target is None and ranking.needs_target:
        raise ValueError(
            f"--criterion {options.criterion} needs --target_reduction, for example "
            f"0.54"
        )
    table = trained.table
    cost = trained.cost(options.cost, options.cost_frames)
    if as_trained:
        keep = trained.own_keep()
    elif target is None:
        keep = table.without_unused((ranking.scores > 0) | ~ranking.candidates)
    else:
        scores, candidates = ranking.scores, ranking.candidates
        pools = table.pools(options.budget or trained.options.budget)
        scores = even_scores(scores, candidates, pools, cost)
        keep = ranked_cut(table, scores, candidates, target, cost)
    return keep, PruningPlan.from_keep(table, keep, options.criterion, target, cost)


def _cuts_otherwise(trained: Trained, options: PruneOptions) -> bool:
    """Whether the options count or divide the size otherwise than the training."""
    trained_with = trained.options
    return (
        options.cost not in (None, trained_with.cost)
        or options.cost_frames not in (None, trained_with.cost_frames)
        or options.budget not in (None, trained_with.budget)
    )


def cut(
    trained: Trained, keep: torch.Tensor
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Config and weights of the compact experiment that keeps ``keep``."""
    config = compact_experiment_config(
        trained.config,
        compact_options(trained.table, keep),
        stock_model_name(trained.task),
    )
    prefix = trained.encoder_entry.prefix
    return config, cut_weights(trained.state, trained.table, keep, prefix)


def compact_experiment_config(
    config: dict[str, Any], options: dict[str, Any], model: str = "espnet"
) -> dict[str, Any]:
    """The training config of the compact model: ordinary, ready for fine-tuning.

    Args:
        config: training config.
        options: options of the compact encoder, see ``plan.compact_options``.
        model: model that replaces ``model: adaptive_dropout``.
    """
    entry = encoder_entry(config)
    encoder_conf = entry.options(config)
    encoder_conf.pop("adaptive_dropout_conf", None)
    encoder_conf.update(options)
    new = entry.with_encoder(config, EXPORTED, encoder_conf)
    if new.get("model") == MODEL:
        new["model"] = model
    new["init_param"] = []
    for name in _NOT_OPTIONS:
        new.pop(name, None)
    # [phase, name, mode] in ESPnet2, ["phase/name", number, mode] in ESPnet3.
    new["best_model_criterion"] = [
        [_without_final(part) for part in item]
        for item in new.get("best_model_criterion") or []
    ]
    return new


def _without_final(part: Any) -> Any:
    return re.sub("^(valid/)?final_", r"\1", part) if isinstance(part, str) else part
