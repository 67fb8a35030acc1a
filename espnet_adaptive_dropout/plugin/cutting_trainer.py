"""Trainers that go on with the small network once its size is frozen.

ESPnet's own trainer and Lightning call the model through DistributedDataParallel where
there are several processes. That wrapper knows the weights that it was made with, so
that a cut needs a new one.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from espnet2.train.abs_espnet_model import AbsESPnetModel
from torch.nn.parallel import DistributedDataParallel

from espnet_adaptive_dropout.experiments.sizes import parameters
from espnet_adaptive_dropout.stacks.adaptive import AdaptiveStack, adaptive_stacks
from espnet_adaptive_dropout.stacks.training_cut import cut_training

# The class after the mixin is a trainer of ESPnet.
_Trainer: Any = torch.nn.Module if TYPE_CHECKING else object

# Attribute of the wrapper of the full-width network: the one of the cut network
_AFTER_CUT = "wrapper_after_cut"


def cut_if_due(
    model: torch.nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    logger: logging.Logger,
) -> bool:
    """Cut units out of a training whose size has been frozen since the last epoch.

    A training whose optimizer keeps state that cannot be cut goes on with masks, with a
    warning.

    Args:
        model: ESPnet model, not wrapped; changed in place.
        optimizers: optimizers of the training; changed in place.
        logger: logger of the trainer.

    Returns:
        Whether units were cut.
    """
    due = [stack for stack in adaptive_stacks(model) if stack.cut_is_due]
    return any([_cut(stack, optimizers, logger) for stack in due])


def _cut(
    stack: AdaptiveStack,
    optimizers: Sequence[torch.optim.Optimizer],
    logger: logging.Logger,
) -> bool:
    """Cut units out of an encoder or a decoder; whether it could be done."""
    before = parameters(stack)
    try:
        cut_training(stack, optimizers)
    except ValueError as error:
        stack.give_up_cut()
        logger.warning(
            f"adaptive dropout: {error}; the training goes on at full width with "
            f"masks, which takes longer and gives the same model"
        )
        return False
    logger.info(
        f"adaptive dropout: the training goes on with the small {stack.kind}, "
        f"{before:,} -> {parameters(stack):,} parameters"
    )
    return True


class CuttingTrainer(_Trainer):
    """Mixin for ESPnet's trainers: cuts units at the first epoch after the freeze."""

    @classmethod
    def train_one_epoch(
        cls,
        model: torch.nn.Module,
        optimizers: Sequence[torch.optim.Optimizer],
        **others: Any,
    ) -> bool:
        """Train for an epoch, with the small network if its size is final."""
        is_wrapped = isinstance(model, DistributedDataParallel)
        inner = model.module if is_wrapped else model
        # Not in another wrapper, which would go on with the weights that it knows
        if isinstance(inner, AbsESPnetModel):
            was_cut = cut_if_due(inner, optimizers, logging.getLogger())
            if was_cut and is_wrapped:
                hook = getattr(others["options"], "ddp_comm_hook", None)
                model.__dict__[_AFTER_CUT] = _wrapped_again(model, hook)
        return super().train_one_epoch(
            model=_in_use(model), optimizers=optimizers, **others
        )

    @classmethod
    def validate_one_epoch(cls, model: torch.nn.Module, **others: Any) -> None:
        """Validate the network that is trained."""
        super().validate_one_epoch(model=_in_use(model), **others)


def _in_use(model: torch.nn.Module) -> torch.nn.Module:
    return model.__dict__.get(_AFTER_CUT, model)


def _wrapped_again(
    wrapper: DistributedDataParallel, comm_hook: str | None
) -> DistributedDataParallel:
    """A new wrapper of the same model with the options of ESPnet's trainer."""
    new = DistributedDataParallel(
        wrapper.module,
        device_ids=wrapper.device_ids,
        output_device=wrapper.output_device,
        find_unused_parameters=wrapper.find_unused_parameters,
        gradient_as_bucket_view=wrapper.gradient_as_bucket_view,
    )
    if comm_hook is not None:
        from torch.distributed.algorithms.ddp_comm_hooks import default_hooks

        new.register_comm_hook(None, getattr(default_hooks, f"{comm_hook}_hook"))
    return new


@functools.cache
def cutting(trainer: type) -> type:
    """The subclass of an ESPnet trainer that cuts units at the freeze."""
    if issubclass(trainer, CuttingTrainer):
        return trainer
    return type(f"Cutting{trainer.__name__}", (CuttingTrainer, trainer), {})


def cut_lightning(lightning_module: Any) -> None:
    """Cut units out of a training of Lightning; called as an epoch starts.

    Args:
        lightning_module: LightningModule with the ESPnet model as ``model``.
    """
    trainer = lightning_module.trainer
    # The only logger whose level ESPnet's Lightning trainer sets
    logger = logging.getLogger("lightning")
    if not cut_if_due(lightning_module.model, trainer.optimizers, logger):
        return
    strategy = trainer.strategy
    if isinstance(strategy.model, DistributedDataParallel):
        strategy.model = strategy.model.module
        strategy.configure_ddp()
