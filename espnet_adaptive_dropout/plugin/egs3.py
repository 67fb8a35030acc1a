"""What the configs of ESPnet3 recipes name.

.. code-block:: yaml

    # training.yaml
    task: espnet_adaptive_dropout.egs3.ASRTask
    trainer:
      callbacks:
        - _target_: espnet_adaptive_dropout.egs3.TrainingLength

    # inference.yaml
    model:
      _target_: espnet_adaptive_dropout.egs3.Speech2Text
"""

from __future__ import annotations

import torch
from espnet2.bin.asr_inference import Speech2Text
from espnet3.systems.esp2_asr.task import ASRTask
from hydra.utils import instantiate
from lightning.pytorch import Callback, LightningModule, Trainer

from espnet_adaptive_dropout.encoders.adaptive import AdaptiveDropoutConformerEncoder
from espnet_adaptive_dropout.experiments.encoder_entry import main_encoder
from espnet_adaptive_dropout.plugin.training_length import scale_for, sum_of_rates

__all__ = ["ASRTask", "Speech2Text", "TrainingLength"]


class TrainingLength(Callback):
    """Tells an encoder with adaptive dropout how long its training will be.

    It sets ``adaptive_dropout_conf.total_steps`` and ``logit_scale`` where the config
    does not, out of what Lightning knows of the data, ``max_epochs`` and
    ``accumulate_grad_batches``. A training is continued with the same ``max_epochs``.
    Models without such an encoder are left alone.

    Raises:
        ValueError: the training has no end (``max_epochs: -1``).
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Called by Lightning before it loads a checkpoint."""
        encoder = main_encoder(pl_module.model)
        ours = isinstance(encoder, AdaptiveDropoutConformerEncoder)
        if stage != "fit" or not ours or encoder.control is None:
            return
        config = encoder.adaptive_dropout_conf
        if config.total_steps is None:
            config.total_steps = _micro_batches(trainer)
        if config.logit_scale is None:
            updates = max(config.total_steps // trainer.accumulate_grad_batches, 1)
            rates = _rates(pl_module.config, updates, config.gates_begin)
            config.logit_scale = scale_for(rates)
            for gate in encoder.units.gates.values():
                gate.logit_scale = config.logit_scale
                gate.espnet_initialization_fn()


def _micro_batches(trainer: Trainer) -> int:
    """Training forward passes of the whole training."""
    updates = trainer.estimated_stepping_batches
    if updates == float("inf"):
        raise ValueError(
            "trainer.max_epochs=-1: adaptive dropout needs a training with an end"
        )
    return int(updates) * trainer.accumulate_grad_batches


def _rates(config, updates: int, begin: float) -> float:
    """Sum of the learning rates from a share of the training on."""
    if config.get("optimizer") is None:
        raise ValueError(
            "several optimizers: set model.encoder_conf.adaptive_dropout_conf."
            "logit_scale, which follows from the rate of the encoder's optimizer"
        )
    optimizer = instantiate(config.optimizer, [torch.nn.Parameter(torch.zeros(1))])
    by_step = config.get("scheduler_interval", "step") == "step"
    scheduler = None
    if by_step and config.get("scheduler") is not None:
        scheduler = instantiate(config.scheduler, optimizer=optimizer)
    return sum_of_rates(optimizer, scheduler, updates, begin)
