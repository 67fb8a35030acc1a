"""The steps of pruning: rank the units, plan which stay, cut the weights."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import torch

from espnet_adaptive_dropout.experiments.checkpoint import without_gates
from espnet_adaptive_dropout.experiments.encoder_entry import (
    EXPORTED,
    encoder_entry,
)
from espnet_adaptive_dropout.pruning.checks import check_frozen_size
from espnet_adaptive_dropout.pruning.criteria import criterion_choices
from espnet_adaptive_dropout.pruning.plan import PruningPlan
from espnet_adaptive_dropout.pruning.trained import Trained
from espnet_adaptive_dropout.units.cost import Cost
from espnet_adaptive_dropout.units.ranked_cut import even_scores, ranked_cut
from espnet_adaptive_dropout.units.surgery import cut_weights
from espnet_adaptive_dropout.units.widths import compact_options

# Entries that ESPnet writes into config.yaml and refuses in a ``--config``
_NOT_OPTIONS = ("required", "version", "distributed")


@dataclasses.dataclass
class PruneOptions:
    """Options of pruning, as ``bin.prune`` takes them.

    Args:
        target_reduction: share to remove; None takes the target of the training.
        criterion: name of the criterion in ``criterion_choices``.
        criterion_conf: options of the criterion.
        data: "path,name,type" triplets of audio for the certificate; None takes the
            validation data of the training.
        utterances: number of utterances that the certificate compares.
        tolerance: tolerance of the certificate, in double precision.
        cost: cost that ``target_reduction`` is a share of, "parameters" or "macs";
            None takes the cost of the training.
        cost_frames: input frames of the utterance whose MACs are counted; None takes
            the number of the training.
        budget: parts of the encoder that lose the same share, one of
            ``table.BUDGETS``; None takes the budget of the training.
        multiple_of: number of which the widths become multiples, if they do not stay
            the full width; None takes the number of the training.
        allow_unfrozen: take a checkpoint from before the training froze its size.
        compact_decoder: put the compact decoder in the place of ESPnet's.
        repair: solve the layers that read removed units again after the cut.
        repair_utterances: number of utterances that they are fitted on.
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
    multiple_of: int | None = None
    allow_unfrozen: bool = False
    compact_decoder: bool = False
    repair: bool = False
    repair_utterances: int = 128


@dataclasses.dataclass
class Ranking:
    """Result of a criterion, for cuts to any size.

    Args:
        scores: importance of every unit, (units,); the lowest are removed first.
        candidates: which units may be removed, bool (units,).
        needs_target: whether the number of kept units needs a target size.
    """

    scores: torch.Tensor
    candidates: torch.Tensor
    needs_target: bool


def rank(trained: Trained, options: PruneOptions) -> Ranking:
    """Rank all units with the criterion of ``options``.

    Raises:
        ValueError: an option of the criterion is refused, or the checkpoint or the
            data lack what the criterion reads.
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
    """Choose the units that stay.

    Returns:
        The units that stay, without unused ones, bool (units,), and the plan.

    Raises:
        ValueError: there is no target, the target is above the bound, or the config
            does not fit the frozen units.
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
    cost = trained.cost(options.cost, options.cost_frames)
    if as_trained:
        keep = trained.own_keep()
    else:
        keep = _keep(trained, ranking, options, target, cost)
    plan = PruningPlan.from_keep(trained.table, keep, options.criterion, target, cost)
    return keep, plan


def plan_all(
    trained: Trained, options: PruneOptions
) -> tuple[torch.Tensor, PruningPlan]:
    """Keep all units (``--target_reduction 0``); see :func:`plan_units`.

    Raises:
        ValueError: the model was trained with adaptive dropout, and so to be cut.
    """
    if trained.is_adaptive:
        raise ValueError(
            "--target_reduction 0 is for models that were trained without adaptive "
            "dropout; leave it out to get the trained size"
        )
    keep = torch.ones(trained.table.num_units, dtype=torch.bool)
    cost = trained.cost(options.cost, options.cost_frames)
    return keep, PruningPlan.from_keep(trained.table, keep, "none", 0.0, cost)


def _keep(
    trained: Trained,
    ranking: Ranking,
    options: PruneOptions,
    target: float | None,
    cost: Cost,
) -> torch.Tensor:
    """Return the units that stay in a cut to ``target``, bool (units,).

    None stands for the size that the units with a score above 0 give.
    """
    table, trained_with = trained.table, trained.options
    scores, candidates = ranking.scores, ranking.candidates
    multiple_of = options.multiple_of or trained_with.multiple_of
    if target is None:
        keep = table.without_unused((scores > 0) | ~candidates)
        if multiple_of == 1:
            return keep
        target = table.reduction(keep, cost)
    pools = table.pools(options.budget or trained_with.budget)
    scores = even_scores(scores, candidates, pools, cost)
    return ranked_cut(table, scores, candidates, target, cost, multiple_of)


def _cuts_otherwise(trained: Trained, options: PruneOptions) -> bool:
    """Whether cost, budget or multiple_of differ from those of the training."""
    trained_with = trained.options
    return (
        options.cost not in (None, trained_with.cost)
        or options.cost_frames not in (None, trained_with.cost_frames)
        or options.budget not in (None, trained_with.budget)
        or options.multiple_of not in (None, trained_with.multiple_of)
    )


def cut(
    trained: Trained, keep: torch.Tensor
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Return config and weights of the compact experiment that keeps ``keep``."""
    prefix = trained.encoder_entry.prefix
    state = without_gates(trained.state)
    weights = cut_weights(state, trained.table, keep, prefix)
    return compact_config(trained, keep), weights


def compact_config(trained: Trained, keep: torch.Tensor) -> dict[str, Any]:
    """Return the config of the compact experiment that keeps ``keep``."""
    options = compact_options(trained.table, keep)
    return compact_experiment_config(trained.config, options, trained.task)


def compact_experiment_config(
    config: dict[str, Any], options: dict[str, Any], task: type | None = None
) -> dict[str, Any]:
    """Return the training config of a compact model, ready for fine-tuning.

    Args:
        config: training config of the full-width model.
        options: options of the compact encoder, see ``units.widths.compact_options``.
        task: ESPnet task class, whose own model replaces the one with the penalty;
            None leaves the model as it is.
    """
    entry = encoder_entry(config)
    encoder_conf = {**entry.stock_options(config), **options}
    new = entry.replaced(config, EXPORTED, encoder_conf, task)
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
