"""ESPnet models whose training steps move the logits of adaptive dropout."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from espnet2.train.abs_espnet_model import AbsESPnetModel

from espnet_adaptive_dropout.encoders.distillation import check_distillation, distil
from espnet_adaptive_dropout.encoders.teacher import check_teacher, learn_from
from espnet_adaptive_dropout.experiments.encoder_entry import (
    ADAPTIVE,
    ADAPTIVE_DECODER,
    STOCK,
    STOCK_DECODER,
    main_encoder,
    recogniser,
)
from espnet_adaptive_dropout.stacks.adaptive import AdaptiveStack, adaptive_stacks
from espnet_adaptive_dropout.stacks.joint import join

# What ``final_<name>`` is before the size is final: worse than anything after it.
# ESPnet's reporter turns infinities into NaN, which cannot be ranked.
# A diverged training may have a loss of 1e9, and the reporter multiplies by the
# number of utterances in float32, whose largest value is 3e38.
LOSS_BEFORE = 1e30
_BEFORE = {
    "loss": LOSS_BEFORE,
    "acc": -1.0,
    "cer_ctc": LOSS_BEFORE,
    "cer_transducer": LOSS_BEFORE,
    "der": LOSS_BEFORE,
}
# The loss of the part with the encoder, where an enhancement loss, which may be
# negative, is in the sum. The penalty's weight is relative to it.
_LOSSES_BEHIND_ENHANCEMENT = ("loss_asr", "loss_st", "loss_diar")
# Encoders and decoders beside the main one; nothing steers or prunes them.
_OTHER_STACKS = (
    "prompt_encoder",
    "hier_encoder",
    "md_encoder",
    "extra_mt_encoder",
    "unit_encoder",
    "extra_asr_decoder",
    "extra_mt_decoder",
    "asr_decoder",
    "st_decoder",
)


# Names in configs: with adaptive dropout, and ESPnet's
_CLASSES = {"encoder": (ADAPTIVE, STOCK), "decoder": (ADAPTIVE_DECODER, STOCK_DECODER)}

# The class after the mixin is an ESPnet model.
_Model: Any = torch.nn.Module if TYPE_CHECKING else object


class AdaptiveDropoutMixin(_Model):
    """Regularises encoder and decoder, and adds the sizes to what a model reports.

    In training the penalty and the sizes join the stats, where ESPnet logs, plots
    and sends them to TensorBoard; those of the decoder begin with ``decoder_``. In
    evaluation the stats get ``final_loss`` and, where the model reports them,
    ``final_acc``, ``final_cer_ctc``, ``final_cer_transducer`` and ``final_der``: the
    value once all sizes are final, a value worse than any before. A
    ``best_model_criterion`` on them never averages checkpoints from before and after
    the freeze.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        if not adaptive_stacks(self):
            raise ValueError(
                "'model: adaptive_dropout' needs 'encoder: adaptive_dropout_conformer' "
                "or 'decoder: adaptive_dropout_transformer' (with ctc_weight 1.0 a "
                f"model has none), not {type(main_encoder(self)).__name__}; a compact "
                "or stock encoder goes with ESPnet's own model"
            )

    def forward(
        self, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, dict, torch.Tensor]:
        """Run the ESPnet model: loss (1,), stats, weight (1,)."""
        forward = functools.partial(super().forward, *args, **kwargs)
        stacks = adaptive_stacks(self)
        for stack in stacks:
            # Also where this step fails and the training goes on with the next.
            stack.is_regularised = True
            if self.training and torch.is_grad_enabled() and not stack.begins_steps:
                stack.begin_step()
        if self.training and _teaches(stacks):
            loss, stats, weight = distil(self, forward)
        else:
            loss, stats, weight = forward()
        if self.training:
            task_loss = _task_loss(stats)
            task_loss = stats.get("loss", loss) if task_loss is None else task_loss
            task_loss = _mean_over_processes(task_loss.detach(), weight.detach())
            # ESPnet's trainer divides the loss in place, and its model returns a view:
            # PyTorch then forgets hooks of that view, which would move the logits.
            loss = loss.clone()
            for stack in stacks:
                prefix = "" if stack.kind == "encoder" else f"{stack.kind}_"
                sizes = stack.regularise(loss, task_loss)
                stats = {**stats, **{prefix + name: x for name, x in sizes.items()}}
            return loss, stats, weight
        return loss, {**stats, **self._final(stats)}, weight

    def _final(self, stats: dict) -> dict[str, torch.Tensor]:
        known = {name: stats[name] for name in _BEFORE if stats.get(name) is not None}
        if not all(stack.size_is_final for stack in adaptive_stacks(self)):
            known = {
                name: torch.full_like(value, _BEFORE[name])
                for name, value in known.items()
            }
        return {f"final_{name}": value for name, value in known.items()}


class TaughtMixin(_Model):
    """Lets an existing model teach a model with a compact encoder."""

    def forward(
        self, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, dict, torch.Tensor]:
        """Run the ESPnet model: loss (1,), stats, weight (1,)."""
        forward = functools.partial(super().forward, *args, **kwargs)
        if not self.training:
            return forward()
        encoder = main_encoder(self)
        return learn_from(encoder.teacher, encoder.distillation, self, forward)


def _teaches(stacks: Sequence[AdaptiveStack]) -> bool:
    """Whether the full-width network teaches the masked one."""
    return any(stack.adaptive_dropout_conf.distillation > 0.0 for stack in stacks)


def _task_loss(stats: dict) -> torch.Tensor | None:
    """The loss behind an enhancement, or None where there is no enhancement."""
    for name in _LOSSES_BEHIND_ENHANCEMENT:
        if "loss_enh" in stats and stats.get(name) is not None:
            return stats[name]
    return None


def _mean_over_processes(loss: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """The loss of the whole batch of a distributed training.

    The weight of the penalty follows from it and must not depend on how many
    processes share a batch, nor differ between them.
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return loss
    weight = weight.sum().float()
    sums = torch.stack([loss.float().mean() * weight, weight])
    torch.distributed.all_reduce(sums)
    return (sums[0] / sums[1]).reshape(1)


@functools.cache
def taught(model_class: type) -> type:
    """The subclass of an ESPnet model class that learns from a teacher too."""
    name = f"Taught{model_class.__name__}"
    return type(name, (TaughtMixin, model_class), {"__doc__": f"{name}."})


@functools.cache
def penalised(model_class: type) -> type:
    """The subclass of an ESPnet model class that adds the penalty to its loss."""
    if issubclass(model_class, AdaptiveDropoutMixin):
        return model_class
    return type(
        f"AdaptiveDropout{model_class.__name__}",
        (AdaptiveDropoutMixin, model_class),
        {"__doc__": f"{model_class.__name__} with the penalty."},
    )


def with_penalty(model: torch.nn.Module) -> torch.nn.Module:
    """Give a model the penalty if its encoder or decoder has adaptive dropout.

    One with a compact encoder that has a ``teacher`` learns from it.

    The class of the model is changed in place. Among nested models only the outermost
    adds the penalty.

    Raises:
        ValueError: adaptive dropout is in another encoder or decoder than the main
            one, ``distillation`` does not go with the model, or ``of: model`` does not
            fit.
    """
    inner = getattr(model, "s2t_model", None)
    if isinstance(inner, AdaptiveDropoutMixin):
        inner.__class__ = type(inner).__bases__[1]  # the class without the penalty
    for name in _OTHER_STACKS:
        other = getattr(recogniser(model), name, None)
        if isinstance(other, AdaptiveStack):
            ours, stock = _CLASSES[other.kind]
            raise ValueError(
                f"{name}: {ours} can only be the main {other.kind} of a model; choose "
                f"'{stock}' for this one"
            )
    if not isinstance(model, AbsESPnetModel):
        return model
    stacks = adaptive_stacks(model)
    if stacks:
        _check_teachers(model, stacks)
        join(stacks)
        model.__class__ = penalised(type(model))  # type: ignore[arg-type]
    elif getattr(getattr(recogniser(model), "encoder", None), "teacher", None):
        check_teacher(model)
        if not isinstance(model, TaughtMixin):
            model.__class__ = taught(type(model))  # type: ignore[arg-type]
    return model


def _check_teachers(model: torch.nn.Module, stacks: Sequence[AdaptiveStack]) -> None:
    """Refuse ``distillation`` where it has no effect, with a ValueError."""
    for stack in stacks:
        if stack.kind == "encoder":
            check_distillation(model)
        elif stack.adaptive_dropout_conf.distillation:
            raise ValueError(
                "decoder_conf.adaptive_dropout_conf.distillation: the CTC posteriors, "
                "from which the masked network learns, do not depend on the decoder; "
                "leave it out, or set it in encoder_conf"
            )
