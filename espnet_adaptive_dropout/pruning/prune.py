"""The steps of pruning: rank the units, plan which stay, cut the weights."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import torch

from espnet_adaptive_dropout.experiments.checkpoint import without_gates
from espnet_adaptive_dropout.experiments.encoder_entry import (
    StackEntry,
    encoder_entry,
)
from espnet_adaptive_dropout.pruning.checks import check_frozen_size
from espnet_adaptive_dropout.pruning.criteria import criterion_choices
from espnet_adaptive_dropout.pruning.options import PruneOptions
from espnet_adaptive_dropout.pruning.part import Section
from espnet_adaptive_dropout.pruning.plan import PruningPlan
from espnet_adaptive_dropout.pruning.trained import Trained
from espnet_adaptive_dropout.units.layer_widths import compact_decoder_options
from espnet_adaptive_dropout.units.ranked_cut import even_scores, ranked_cut
from espnet_adaptive_dropout.units.surgery import cut_weights
from espnet_adaptive_dropout.units.widths import compact_options

# Entries that ESPnet writes into config.yaml and refuses in a ``--config``
_NOT_OPTIONS = ("required", "version", "distributed")


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

    def of(self, section: Section) -> Ranking:
        """Return the ranking of the units of a section alone."""
        span = section.span
        return Ranking(self.scores[span], self.candidates[span], self.needs_target)


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

    A part that the target does not count is cut as it was trained.

    Returns:
        The units that stay, without unused ones, bool (units,), and the plan.

    Raises:
        ValueError: there is no target, the target is above the bound, or the config
            does not fit the frozen units.
    """
    # Without a target of both, two parts that were trained alone have one each.
    both_trained = all(part.is_adaptive for part in trained.parts)
    own_targets = options.target_reduction is None and both_trained
    one_target = trained.was_joint or not own_targets
    sections = trained.sections(trained.of == "model" and one_target)
    keeps, targets = [], {}
    for section in sections:
        chosen, asked = ranking, options
        if trained.of not in (section.name, "model"):
            asked = PruneOptions(allow_unfrozen=options.allow_unfrozen)
            chosen = rank(trained, asked)
        keep, target = _choose(trained, section, chosen.of(section), asked)
        keeps.append(keep)
        targets[section.name] = target
    keep = torch.cat(keeps)
    target = targets.get(trained.of)
    return keep, _plan(trained, keep, options.criterion, target, options)


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
    return keep, _plan(trained, keep, "none", 0.0, options)


def _plan(
    trained: Trained,
    keep: torch.Tensor,
    criterion: str,
    target: float | None,
    options: PruneOptions,
) -> PruningPlan:
    """Describe ``keep``, the units of all parts."""
    counted = trained.counted
    cost = counted.cost(options.cost, **options.length())
    parts = [(table, kept) for _, table, kept in trained.by_part(keep)]
    kept = keep[counted.span]
    return PruningPlan.from_keep(counted.table, kept, criterion, target, cost, parts)


def _choose(
    trained: Trained, section: Section, ranking: Ranking, options: PruneOptions
) -> tuple[torch.Tensor, float | None]:
    """Return the units of a section that stay, and the target that they meet."""
    target = options.target_reduction
    as_trained = False
    if not ranking.needs_target and not ranking.candidates.any():
        raise ValueError(
            f"--criterion {options.criterion}: the checkpoint has no gates in the "
            f"{section.name}; choose another criterion, or --of another part"
        )
    if target is None and section.is_adaptive:
        if section.options.control != "schedule" or ranking.needs_target:
            target = section.options.target_reduction
        if section.is_frozen:
            check_frozen_size(section, trained.model_file)
            as_trained = not ranking.needs_target and not _cuts_otherwise(
                section, options
            )
    if target is None and (ranking.needs_target or not section.is_adaptive):
        raise ValueError(
            f"--criterion {options.criterion} needs --target_reduction, for example "
            f"0.54"
        )
    if as_trained:
        return section.own_keep(), target
    return _keep(section, ranking, options, target), target


def _keep(
    section: Section, ranking: Ranking, options: PruneOptions, target: float | None
) -> torch.Tensor:
    """Return the units that stay in a cut to ``target``, bool (units,).

    None stands for the size that the units with a score above 0 give.
    """
    table, trained_with = section.table, section.options
    cost = section.cost(options.cost, **options.length())
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


def _cuts_otherwise(section: Section, options: PruneOptions) -> bool:
    """Whether cost, budget or multiple_of differ from those of the training."""
    given = {name: getattr(options, name) for name in ("cost", "budget", "multiple_of")}
    given.update(options.length())
    return any(
        value not in (None, getattr(section.options, name))
        for name, value in given.items()
    )


def cut(
    trained: Trained,
    keep: torch.Tensor,
    state: dict[str, torch.Tensor] | None = None,
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Return config and weights of the compact experiment that keeps ``keep``.

    Args:
        trained: experiment to cut.
        keep: which units stay, without unused ones, bool (units,).
        state: weights of the checkpoint; None takes those that ``trained`` holds.
    """
    weights = without_gates(trained.state if state is None else state)
    for part, table, kept in trained.by_part(keep):
        weights = cut_weights(weights, table, kept, part.entry.prefix)
    return compact_config(trained, keep), weights


def compact_config(trained: Trained, keep: torch.Tensor) -> dict[str, Any]:
    """Return the config of the compact experiment that keeps ``keep``."""
    config = trained.config
    for part, table, kept in trained.by_part(keep):
        is_encoder = part.kind == "encoder"
        describe = compact_options if is_encoder else compact_decoder_options
        config = compact_experiment_config(
            config, describe(table, kept), trained.task, part.entry
        )
    return config


def compact_experiment_config(
    config: dict[str, Any],
    options: dict[str, Any],
    task: type | None = None,
    entry: StackEntry | None = None,
) -> dict[str, Any]:
    """Return the training config of a compact model, ready for fine-tuning.

    Args:
        config: training config of the full-width model.
        options: options of the compact encoder or decoder, see
            ``units.widths.compact_options`` and ``units.layer_widths``.
        task: ESPnet task class, whose own model replaces the one with the penalty;
            None leaves the model as it is.
        entry: the encoder's or the decoder's; None takes the encoder's.
    """
    entry = entry or encoder_entry(config)
    conf = {**entry.stock_options(config), **options}
    new = entry.replaced(config, entry.exported, conf, task)
    new["init_param"] = []
    if "init" in new:  # which cannot be drawn for a matrix of which nothing is left
        new["init"] = None
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
