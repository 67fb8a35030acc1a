"""Selection and averaging of checkpoints: only those of the final size."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from espnet_adaptive_dropout.control.config import AdaptiveDropoutConfig


def last_to_freeze(configs: Sequence[AdaptiveDropoutConfig]) -> AdaptiveDropoutConfig:
    """The options with the latest freeze, after which all sizes are final.

    Args:
        configs: options of the encoder and of the decoder, with ``total_steps``; one
            or both of them.
    """
    freezing = [config for config in configs if config.freezes]
    return max(freezing, key=lambda config: config.freeze_step, default=configs[0])


def averaged(wanted: int, ends: Sequence[float], config: AdaptiveDropoutConfig) -> int:
    """Number of epochs to average: no more than have the final size.

    Args:
        wanted: number of epochs that the training config averages.
        ends: training forward passes at the end of every epoch.
        config: options of adaptive dropout, with ``total_steps``.
    """
    if not config.freezes:
        return wanted
    most = max(sum(end > config.freeze_step for end in ends), 1)
    if wanted <= most:
        return wanted
    logging.getLogger(__name__).warning(
        f"keep_nbest_models={wanted}: only {most} of {len(ends)} epochs end after the "
        f"size is frozen (freeze_at={config.freeze_at}), so that the best {most} are "
        f"averaged"
    )
    return most


def check_criteria(
    criteria: Iterable[tuple[str, str]],
    config: AdaptiveDropoutConfig,
    model_conf: Mapping[str, Any],
) -> None:
    """Refuse criteria that select checkpoints from before the freeze, or none.

    Args:
        criteria: (phase, name) of every criterion.
        config: options of adaptive dropout.
        model_conf: options of the model.

    Raises:
        ValueError: there is such a criterion.
    """
    if not config.freezes:
        return
    criteria = sorted(set(criteria))
    early = [name for _, name in criteria if not name.startswith("final_")]
    if early:
        raise ValueError(
            f"best_model_criterion {', '.join(early)} may select epochs from before "
            f"the size is frozen; use final_acc (max) or final_loss (min)"
        )
    for phase, name in criteria:
        if phase != "valid":
            raise ValueError(
                f"best_model_criterion {phase} {name}: only the validation has "
                f"{name}; write 'valid'"
            )
        if name == "final_acc" and model_conf.get("ctc_weight") == 1.0:
            raise ValueError(
                "best_model_criterion final_acc: a model with ctc_weight 1.0 reports "
                "no accuracy; use final_loss (min)"
            )


def selection_arguments(
    args: argparse.Namespace, ends: Sequence[float], config: AdaptiveDropoutConfig
) -> list[str]:
    """Further command line options so that only the final size is averaged.

    Args:
        args: arguments of a training with ESPnet's own trainer.
        ends: training forward passes at the end of every epoch.
        config: options of adaptive dropout, with ``total_steps``.

    Raises:
        ValueError: see :func:`check_criteria`.
    """
    criteria = [(criterion[0], criterion[1]) for criterion in args.best_model_criterion]
    check_criteria(criteria, config, args.model_conf)
    added: list[str] = []
    wanted = args.keep_nbest_models
    wanted = list(wanted) if isinstance(wanted, (list, tuple)) else [wanted]
    most = averaged(max(wanted), ends, config)
    if most < max(wanted):
        kept = sorted({min(number, most) for number in wanted})
        added += ["--keep_nbest_models", *map(str, kept)]
    if config.freezes and args.patience is not None:
        logging.getLogger(__name__).warning(
            f"patience={args.patience}: a training that stops early does not reach its "
            f"size, so that it trains to max_epoch={args.max_epoch}"
        )
        added += ["--patience", "none"]
    return added
