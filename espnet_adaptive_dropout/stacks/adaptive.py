"""Adaptive dropout of an encoder or a decoder, as a mixin for ESPnet's classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from espnet_adaptive_dropout.control.config import AdaptiveDropoutConfig
from espnet_adaptive_dropout.control.size_control import SizeControl
from espnet_adaptive_dropout.experiments.checkpoint import unscale_logits
from espnet_adaptive_dropout.experiments.encoder_entry import main_decoder, recogniser
from espnet_adaptive_dropout.modules.gate import TEMPERATURES, AdaptiveDropout
from espnet_adaptive_dropout.stacks.training_cut import TrainingCut
from espnet_adaptive_dropout.units import attach
from espnet_adaptive_dropout.units.cost import Cost
from espnet_adaptive_dropout.units.table import UnitTable

# The class after the mixin is an encoder or a decoder.
_Stack: Any = torch.nn.Module if TYPE_CHECKING else object


class AdaptiveStack(_Stack):
    """Mixin for an encoder or a decoder whose units have retention probabilities.

    The constructor of the class calls :meth:`attach_gates` and then
    :meth:`start_control`. The model must call :meth:`regularise` in every training
    step; models that ESPnet's tasks build do (see ``task_hooks``).

    Attributes:
        kind: "encoder" or "decoder".
        begins_steps: whether ``forward`` begins a training step; otherwise the model
            calls :meth:`begin_step`.
        cut_parts: attributes that lose units in a cut in training.
        stock_options: options of ESPnet's class.
        adaptive_dropout_conf: checked options.
        units: the unit table.
        control: the size control; None without gates.
        is_regularised: whether :meth:`regularise` was or will be called.
        is_second_pass: whether the batch of the last step passes again (see
            ``distillation``).
        training_cut: what was cut out in training, if anything was.
    """

    kind: str
    begins_steps: bool
    cut_parts: tuple[str, ...]
    stock_options: dict[str, Any]
    adaptive_dropout_conf: AdaptiveDropoutConfig
    units: UnitTable
    control: SizeControl | None
    is_regularised: bool
    is_second_pass: bool
    training_cut: TrainingCut | None

    def attach_gates(
        self, stock_options: dict[str, Any], conf: dict[str, Any] | None
    ) -> None:
        """Read the options, and put a gate at every chosen location.

        Args:
            stock_options: options that ESPnet's class was made with.
            conf: options of :class:`AdaptiveDropoutConfig`, or None.

        Raises:
            ValueError: an option is unknown or out of range, or a location cannot be
                pruned in this architecture.
        """
        self.stock_options = stock_options
        self.adaptive_dropout_conf = AdaptiveDropoutConfig.from_dict(conf)
        for _, owner in attach.owners(self):
            _attach_gates(owner, self.adaptive_dropout_conf)
        self.is_regularised = self._has_stepped = False
        self.is_second_pass = False
        self.training_cut = None

    def start_control(self) -> None:
        """Count the units, and make the size control of those that have a gate.

        Raises:
            ValueError: the target is above the bound.
        """
        self.units = UnitTable(self)
        self.control = None
        config = self.adaptive_dropout_conf
        # One control for encoder and decoder is made when both are there.
        if self.units.gates and config.of is None:
            cost = self.units.parameters
            if config.cost == "macs":
                cost = self.mac_cost(config)
            self.control = SizeControl(config, self.units, cost)

    def mac_cost(self, config: AdaptiveDropoutConfig) -> Cost:
        """Multiply-accumulates of every unit.

        Args:
            config: has the length of the utterance at which they are counted.
        """
        raise NotImplementedError

    def at_full_width(self) -> torch.nn.Module:
        """Return a new one with the same options and no gates."""
        make: Any = type(self)
        return make(**self.stock_options, adaptive_dropout_conf={"locations": []})

    def compact(self, keep: torch.Tensor) -> torch.nn.Module:
        """Return a new compact encoder or decoder, with initial weights.

        Args:
            keep: which units it has, without unused ones, bool (units,).
        """
        raise NotImplementedError

    def begin_step(self) -> None:
        """Advance the size control by one training step; freeze when it is time.

        Raises:
            RuntimeError: nobody called :meth:`regularise` after the first training
                step, or the length of the training is not known.
        """
        if self.is_second_pass:
            return
        if self.control is None:
            self._check_joined()
            return
        if self._has_stepped and not self.is_regularised:
            raise RuntimeError(
                f"nothing moves the logits of adaptive dropout: build the model by an "
                f"ESPnet task, or call {self.kind}.regularise(loss) in every training "
                f"step, before loss.backward()"
            )
        self.control.begin_step()
        self._has_stepped = True

    def _check_joined(self) -> None:
        """Refuse gates that nothing steers, with a RuntimeError."""
        if self.units.gates and self.governing_control is None:
            raise RuntimeError(
                "nothing steers the gates of adaptive dropout: with of: model, build "
                "the model by an ESPnet task"
            )

    @property
    def governing_control(self) -> SizeControl | None:
        """The size control of the gates: its own, or that of the encoder."""
        return self.control or self.__dict__.get("shared_control")

    def regularise(
        self, loss: torch.Tensor, task_loss: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        """Let the backward pass of this training step move the logits.

        Args:
            loss: loss of this step, one element, differentiable.
            task_loss: loss that the penalty is relative to, one element, equal in all
                processes of a distributed training; None takes ``loss``.

        Returns:
            Values to log, a dict of (1,) tensors; empty without gates.
        """
        self.is_regularised = True
        if self.control is None:
            return {}
        task_loss = loss if task_loss is None else task_loss
        return self.control.penalise(loss, task_loss.detach())

    def state_dict(
        self, *args: Any, prefix: str = "", **kwargs: Any
    ) -> dict[str, torch.Tensor]:
        """Return the weights at full width, also after a cut in training."""
        state = super().state_dict(*args, prefix=prefix, **kwargs)
        if self.training_cut is not None:
            self.training_cut.widen(state, prefix)
        return state

    def _load_from_state_dict(
        self, state_dict: dict[str, torch.Tensor], prefix: str, *args: Any
    ) -> None:
        """Accept checkpoints of older releases, whose logits had another optimizer."""
        if unscale_logits(state_dict, self.adaptive_dropout_conf.logit_scale):
            for name, value in self.state_dict().items():
                if name.startswith("control.optimizer."):
                    state_dict[prefix + name] = value
        super()._load_from_state_dict(state_dict, prefix, *args)

    @property
    def is_to_be_cut(self) -> bool:
        """Whether units will be cut out of the training once they are frozen."""
        control = self.governing_control
        return (
            control is not None
            and control.config.cuts_training
            and self.training_cut is None
        )

    @property
    def cut_is_due(self) -> bool:
        """Whether units can be cut out of the training now, and have not been yet."""
        control = self.governing_control
        return self.is_to_be_cut and control is not None and control.is_frozen

    def give_up_cut(self) -> None:
        """Keep the masks to the end of the training, as its optimizer needs it."""
        control = self.governing_control
        if control is not None:
            control.config.cut_in_training = False

    @property
    def has_begun(self) -> bool:
        """Whether the gates sample, or have been decided."""
        return self.control is not None and self.control.phase != "open"

    @property
    def size_is_final(self) -> bool:
        """Whether evaluation sees the size that pruning will give."""
        return self.control is None or self.control.is_final


def adaptive_stacks(model: torch.nn.Module) -> list[AdaptiveStack]:
    """Return the main encoder and decoder of an ESPnet model that have gates' options.

    Args:
        model: ESPnet model, not wrapped.
    """
    stacks = (getattr(recogniser(model), "encoder", None), main_decoder(model))
    return [stack for stack in stacks if isinstance(stack, AdaptiveStack)]


def _attach_gates(owner: torch.nn.Module, config: AdaptiveDropoutConfig) -> None:
    """Put a gate at every chosen location of a block, or of the input layer."""
    for location in attach.select(owner, config.locations):
        gate = AdaptiveDropout(
            attach.unit_count(owner, location),
            initial_logit=config.initial_logit,
            temperature=config.temperature or TEMPERATURES[config.gate],
            forward=config.forward,
            distribution=config.gate,
            dropout_rate=attach.dropout_rate(owner, location),
        )
        attach.set_gate(owner, location, gate)
