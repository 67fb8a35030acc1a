"""Prunes a trained experiment into an ordinary, smaller ESPnet experiment."""

from __future__ import annotations

import copy
import dataclasses
import logging
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import torch

from espnet_adaptive_dropout.config import AdaptiveDropoutConfig
from espnet_adaptive_dropout.experiment import (
    build_model,
    load_config,
    load_state,
    load_task,
    load_weights,
)
from espnet_adaptive_dropout.gate import SATURATED_LOGIT
from espnet_adaptive_dropout.pruning.certificate import Certificate, certify
from espnet_adaptive_dropout.pruning.count import sizes
from espnet_adaptive_dropout.pruning.criteria import criterion_choices
from espnet_adaptive_dropout.pruning.features import data_inputs
from espnet_adaptive_dropout.pruning.plan import PruningPlan, block_widths
from espnet_adaptive_dropout.pruning.report import make_report
from espnet_adaptive_dropout.pruning.surgery import (
    cut_weights,
    is_gate_weight,
    without_gates,
)
from espnet_adaptive_dropout.units import UnitTable, ranked_cut

PREFIX = "encoder."
ADAPTIVE = "adaptive_dropout_conformer"


@dataclasses.dataclass
class PruneOptions:
    """What to prune and how; the options of ``bin.prune``."""

    train_config: Path
    model_file: Path
    target_reduction: Optional[float] = None
    criterion: str = "retention"
    criterion_conf: Dict[str, Any] = dataclasses.field(default_factory=dict)
    task: str = "asr"
    data: Optional[List[str]] = None
    utterances: int = 4
    tolerance: float = 1e-5


@dataclasses.dataclass
class Pruned:
    """A pruned experiment, not yet written."""

    config: Dict[str, Any]
    state: Dict[str, torch.Tensor]
    plan: PruningPlan
    certificate: Certificate
    report: Dict[str, Any]


def prune(options: PruneOptions) -> Pruned:
    """Plan, cut and certify.

    Raises:
        ValueError: config, checkpoint, criterion, target or data are refused, or
            the compact encoder differs from the masked one by more than the
            tolerance.
    """
    config = load_config(options.train_config)
    if config["encoder"] not in (ADAPTIVE, "conformer"):
        raise ValueError(
            f"{options.train_config}: 'encoder: {config['encoder']}' cannot be pruned; "
            f"it must be {ADAPTIVE} or conformer"
        )
    state = load_state(options.model_file)
    _check_frozen(config, state, options.model_file)
    task = load_task(options.task)
    masked, table = _masked_model(task, config, state, options.model_file)
    keep, plan = _make_plan(options, config, state, table)
    set_masks(masked.encoder.units, keep)

    compact_config = compact_experiment_config(config, block_widths(table, keep))
    compact_state = cut_weights(state, table, keep, PREFIX)
    compact = build_model(task, compact_config)
    load_weights(compact, compact_state, "the compact model")

    inputs = data_inputs(task, masked, config, options.utterances, options.data)
    certificate = certify(masked.encoder, compact.encoder, inputs, options.tolerance)
    if not certificate.holds:
        raise ValueError(
            f"the compact encoder differs from the masked one by "
            f"{certificate.largest_difference:.2e}, more than --tolerance "
            f"{options.tolerance:.0e}; nothing was written"
        )
    report = make_report(table, keep, plan, certificate, sizes(masked), sizes(compact))
    _check_removed(report)
    return Pruned(compact_config, compact_state, plan, certificate, report)


def set_masks(table: UnitTable, keep: torch.Tensor) -> None:
    """Decide all gates: ``keep``, bool (units,), stays and the rest goes."""
    decided = torch.where(keep, SATURATED_LOGIT, -SATURATED_LOGIT)
    table.set_logits(decided[table.gated()])


def compact_experiment_config(
    config: Dict[str, Any], widths: List[Dict[str, Any]]
) -> Dict[str, Any]:
    """The training config of the compact model: ordinary, ready for fine-tuning."""
    new = copy.deepcopy(config)
    new["encoder"] = "compact_conformer"
    new["encoder_conf"] = dict(new.get("encoder_conf") or {})
    new["encoder_conf"].pop("adaptive_dropout_conf", None)
    new["encoder_conf"]["widths"] = widths
    if new.get("model") == "adaptive_dropout":
        new["model"] = "espnet"
    new["init_param"] = []
    new["best_model_criterion"] = [
        [phase, name[len("final_") :] if name.startswith("final_") else name, mode]
        for phase, name, mode in new.get("best_model_criterion") or []
    ]
    return new


def _masked_model(
    task: type, config: Dict[str, Any], state: Dict[str, torch.Tensor], path: Path
) -> Tuple[torch.nn.Module, UnitTable]:
    """The full-width model with a gate at every location that can be pruned."""
    gated = copy.deepcopy(config)
    gated["encoder"] = ADAPTIVE
    gated["encoder_conf"] = dict(gated.get("encoder_conf") or {})
    # Without feedback there is no target to check against the bound.
    gated["encoder_conf"]["adaptive_dropout_conf"] = {"control": "schedule"}
    if gated.get("model") == "adaptive_dropout":
        gated["model"] = "espnet"
    model = build_model(task, gated)
    weights = without_gates(state, PREFIX)
    for key, value in model.state_dict().items():
        if is_gate_weight(key, PREFIX):
            weights[key] = value
    load_weights(model, weights, str(path))
    return model, model.encoder.units


def _check_frozen(
    config: Dict[str, Any], state: Dict[str, torch.Tensor], path: Path
) -> None:
    """Refuse an average over epochs from before and after the freeze."""
    frozen = state.get(PREFIX + "control.frozen")
    if frozen is None or float(frozen) in (0.0, 1.0):
        freezes = AdaptiveDropoutConfig.from_dict(
            (config.get("encoder_conf") or {}).get("adaptive_dropout_conf")
        ).freezes
        if frozen is not None and float(frozen) == 0.0 and freezes:
            logging.warning(f"{path}: the training had not frozen its size yet")
        return
    raise ValueError(
        f"{path}: averages checkpoints from before and after the size was frozen; "
        f"average later epochs (best_model_criterion on final_acc or final_loss)"
    )


def _make_plan(
    options: PruneOptions,
    config: Dict[str, Any],
    state: Dict[str, torch.Tensor],
    table: UnitTable,
) -> Tuple[torch.Tensor, PruningPlan]:
    criterion = criterion_choices.get_class(options.criterion)(**options.criterion_conf)
    scores, candidates = criterion(table, state, config)
    target = options.target_reduction
    trained = AdaptiveDropoutConfig.from_dict(
        (config.get("encoder_conf") or {}).get("adaptive_dropout_conf")
    )
    if target is None and config["encoder"] == ADAPTIVE:
        if trained.control != "schedule" or criterion.needs_target:
            target = trained.target_reduction
    if target is None and criterion.needs_target:
        raise ValueError(
            f"--criterion {options.criterion} needs --target_reduction, for example "
            f"0.54"
        )
    if target is None:
        keep = table.close((scores > 0) | ~candidates)
    else:
        keep = ranked_cut(table, scores, candidates, target)
    return keep, PruningPlan.from_keep(table, keep, options.criterion, target)


def _check_removed(report: Dict[str, Any]) -> None:
    before, after = report["before"], report["after"]
    removed = before["encoder_params"] - after["encoder_params"]
    if removed != report["removed_parameters"]:
        raise ValueError(
            f"internal error: the plan removes {report['removed_parameters']} "
            f"parameters but the compact encoder lacks {removed}; nothing was written"
        )
