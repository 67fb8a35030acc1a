"""The classes that the configs of ESPnet3 recipes name.

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

from typing import Any

from espnet2.bin.asr_inference import Speech2Text
from espnet3.components.callbacks.default_callbacks import AverageCheckpointsCallback
from espnet3.systems.esp2_asr.task import ASRTask
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from espnet_adaptive_dropout.control.bound import check_length
from espnet_adaptive_dropout.control.config import AdaptiveDropoutConfig
from espnet_adaptive_dropout.plugin.cutting_trainer import cut_lightning
from espnet_adaptive_dropout.plugin.earlier_training import (
    epoch_ends,
    refuse_changed_size,
)
from espnet_adaptive_dropout.plugin.selection import (
    averaged,
    check_criteria,
    last_to_freeze,
)
from espnet_adaptive_dropout.stacks.adaptive import adaptive_stacks

__all__ = ["ASRTask", "Speech2Text", "TrainingLength"]

# Key of the decoder's size options in a checkpoint
_DECODER = "decoder"


class TrainingLength(Callback):
    """Tells adaptive dropout how long the training is, and cuts units.

    Sets ``adaptive_dropout_conf.total_steps`` and ``accum_grad`` where the config does
    not, from the data, ``max_epochs`` and ``accumulate_grad_batches``. A training is
    resumed with the same ``max_epochs`` and for the same size. No more checkpoints
    are averaged than have the final size. At the first epoch after the freeze, units
    are cut out of the training (``cut_in_training``). Other models are
    left alone.

    Raises:
        ValueError: the training has no end (``max_epochs: -1``), is too short, selects
            checkpoints from before the freeze, or resumes one that was started for
            another size.
    """

    def __init__(self) -> None:
        self._sizes: dict[str, dict[str, Any]] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Called by Lightning before it loads a checkpoint."""
        gated = [s for s in adaptive_stacks(pl_module.model) if s.control is not None]
        if stage != "fit" or not gated:
            return
        for stack in gated:
            config = stack.adaptive_dropout_conf
            if config.total_steps is None:
                config.total_steps = _micro_batches(trainer)
            if config.accum_grad is None:
                config.accum_grad = trainer.accumulate_grad_batches
            check_length(config)
            self._sizes[stack.kind] = config.size_options(stack.kind)
        configs = [stack.adaptive_dropout_conf for stack in gated]
        _select(trainer, pl_module, last_to_freeze(configs))

    def on_train_epoch_start(
        self, trainer: Trainer, pl_module: LightningModule
    ) -> None:
        """Go on with the small network once its size is final."""
        cut_lightning(pl_module)

    def state_dict(self) -> dict[str, Any]:
        """The options that determine the size, for the checkpoint."""
        # Those of the encoder lie where older releases read and wrote them.
        return {**self._sizes.get("encoder", {}), _DECODER: self._sizes.get("decoder")}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Compare the size options of a resumed training's checkpoint."""
        before = {**state_dict}
        sizes = {"decoder": before.pop(_DECODER, None), "encoder": before}
        for kind, now in self._sizes.items():
            refuse_changed_size("the checkpoint", sizes[kind] or {}, now)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Average once more: ESPnet3 averages before it saves the last epoch."""
        if self._sizes:
            for callback in trainer.callbacks:
                if isinstance(callback, AverageCheckpointsCallback):
                    callback.on_validation_end(trainer, pl_module)


def _select(
    trainer: Trainer, pl_module: LightningModule, config: AdaptiveDropoutConfig
) -> None:
    """Let ESPnet3 keep and average the best epochs of the final size."""
    kept = [
        callback
        for callback in trainer.callbacks
        if isinstance(callback, ModelCheckpoint) and callback.monitor is not None
    ]
    criteria = [tuple(callback.monitor.split("/", 1)) for callback in kept]
    model_conf = pl_module.config.get("model", {}).get("model_conf", {})
    check_criteria(criteria, config, model_conf)
    steps = config.total_steps or _micro_batches(trainer)
    ends = epoch_ends(trainer.max_epochs, steps)
    for callback in kept:
        callback.save_top_k = averaged(callback.save_top_k, ends, config)


def _micro_batches(trainer: Trainer) -> int:
    """Training forward passes of the whole training."""
    updates = trainer.estimated_stepping_batches
    if updates == float("inf"):
        raise ValueError(
            "trainer.max_epochs=-1: adaptive dropout needs a training with an end"
        )
    return int(updates) * trainer.accumulate_grad_batches
