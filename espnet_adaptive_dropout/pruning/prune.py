"""Prunes a trained experiment into an ordinary, smaller ESPnet experiment."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import torch

from espnet_adaptive_dropout.experiments.encoder_entry import (
    EXPORTED,
    MODEL,
    encoder_entry,
    main_encoder,
    stock_model_name,
)
from espnet_adaptive_dropout.experiments.experiment import build_model, load_weights
from espnet_adaptive_dropout.experiments.features import data_inputs
from espnet_adaptive_dropout.experiments.sizes import sizes
from espnet_adaptive_dropout.pruning.certificate import Certificate, certify
from espnet_adaptive_dropout.pruning.checks import check_frozen_size
from espnet_adaptive_dropout.pruning.criteria import criterion_choices
from espnet_adaptive_dropout.pruning.plan import PruningPlan, compact_options
from espnet_adaptive_dropout.pruning.report import make_report
from espnet_adaptive_dropout.pruning.surgery import cut_weights
from espnet_adaptive_dropout.pruning.trained import (
    Trained,
    open_trained,
    set_masks,
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

    target_reduction: Optional[float] = None
    criterion: str = "retention"
    criterion_conf: Dict[str, Any] = dataclasses.field(default_factory=dict)
    data: Optional[List[str]] = None
    utterances: int = 4
    tolerance: float = 1e-9
    cost: Optional[str] = None
    cost_frames: Optional[int] = None
    budget: Optional[str] = None
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


@dataclasses.dataclass
class Pruned:
    """A pruned experiment, not yet written."""

    config: Dict[str, Any]
    state: Dict[str, torch.Tensor]
    plan: PruningPlan
    certificate: Certificate
    report: Dict[str, Any]


def prune(
    train_config: Path, model_file: Path, options: PruneOptions, task: str = "asr"
) -> Pruned:
    """Open, rank, plan, cut and certify.

    Raises:
        ValueError: config, checkpoint, criterion, target or data are refused, or
            the compact encoder differs from the masked one by more than the
            tolerance.
    """
    trained = open_trained(
        train_config,
        model_file,
        task,
        options.data,
        allow_unfrozen=options.allow_unfrozen,
    )
    keep, plan = plan_units(trained, rank(trained, options), options)
    return cut(trained, keep, plan, options)


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
) -> Tuple[torch.Tensor, PruningPlan]:
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
    trained: Trained, keep: torch.Tensor, plan: PruningPlan, options: PruneOptions
) -> Pruned:
    """Make the compact experiment that keeps ``keep`` and prove that it is right.

    Raises:
        ValueError: the data cannot be read or the certificate does not hold.
    """
    table, masked = trained.table, trained.model
    set_masks(table, keep)
    config = compact_experiment_config(
        trained.config, compact_options(table, keep), stock_model_name(trained.task)
    )
    state = cut_weights(trained.state, table, keep, trained.encoder_entry.prefix)
    compact = build_model(trained.task, config)
    load_weights(compact, state, "the compact model")
    inputs = data_inputs(
        trained.task, masked, trained.config, options.utterances, options.data
    )
    certificate = certify(
        main_encoder(masked), main_encoder(compact), inputs, options.tolerance
    )
    if not certificate.holds:
        raise ValueError(
            f"the compact encoder differs from the masked one by {certificate}: more "
            f"than --tolerance {options.tolerance:.0e} or than rounding; nothing was "
            f"written"
        )
    report = make_report(table, keep, plan, certificate, sizes(masked), sizes(compact))
    _check_removed(report)
    return Pruned(config, state, plan, certificate, report)


def compact_experiment_config(
    config: Dict[str, Any], options: Dict[str, Any], model: str = "espnet"
) -> Dict[str, Any]:
    """The training config of the compact model: ordinary, ready for fine-tuning.

    Args:
        config: of the training.
        options: of the compact encoder, see ``plan.compact_options``.
        model: takes the place of ``model: adaptive_dropout``.
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


def _check_removed(report: Dict[str, Any]) -> None:
    before, after = report["before"], report["after"]
    removed = before["encoder_params"] - after["encoder_params"]
    if removed != report["removed_parameters"]:
        raise ValueError(
            f"internal error: the plan removes {report['removed_parameters']} "
            f"parameters but the compact encoder lacks {removed}; nothing was written"
        )
