"""ESPnet's Conformer encoder with adaptive dropout."""

from __future__ import annotations

from typing import Any

import torch

from espnet_adaptive_dropout import compat
from espnet_adaptive_dropout.control.config import AdaptiveDropoutConfig
from espnet_adaptive_dropout.control.size_control import SizeControl
from espnet_adaptive_dropout.encoders.prefix_tokens import PrefixInput
from espnet_adaptive_dropout.encoders.training_cut import TrainingCut
from espnet_adaptive_dropout.experiments.checkpoint import unscale_logits
from espnet_adaptive_dropout.modules.activation import fuse_swish
from espnet_adaptive_dropout.modules.checked_loading import CheckedLoading
from espnet_adaptive_dropout.modules.gate import TEMPERATURES, AdaptiveDropout
from espnet_adaptive_dropout.modules.subsampling import put_channels_last
from espnet_adaptive_dropout.units import attach
from espnet_adaptive_dropout.units.cost import mac_cost, zero_inputs
from espnet_adaptive_dropout.units.table import UnitTable


class AdaptiveDropoutConformerEncoder(
    CheckedLoading, PrefixInput, compat.ConformerEncoder
):
    """Stock ConformerEncoder whose units carry learned retention probabilities.

    The constructor is the stock one (see ``espnet2.asr.encoder.conformer_encoder``)
    and ``adaptive_dropout_conf``. Weights shared with the stock encoder keep their
    names, so that ``--init_param`` takes any stock checkpoint. While the gates
    sample, they replace the inner dropout of the feed-forward modules.

    The model must call :meth:`regularise` in every training step; models that
    ESPnet's tasks build do (see ``task_hooks``).

    Args:
        adaptive_dropout_conf: options of :class:`AdaptiveDropoutConfig`; None takes
            its defaults, ``{locations: []}`` gives the stock encoder.

    Raises:
        ValueError: an option is unknown or out of range, a location cannot be
            pruned in this architecture, or the target is above the bound.
    """

    def __init__(
        self,
        input_size: int,
        output_size: int = 256,
        attention_heads: int = 4,
        linear_units: int = 2048,
        num_blocks: int = 6,
        dropout_rate: float = 0.1,
        positional_dropout_rate: float = 0.1,
        attention_dropout_rate: float = 0.0,
        input_layer: str | None = "conv2d",
        normalize_before: bool = True,
        concat_after: bool = False,
        positionwise_layer_type: str = "linear",
        positionwise_conv_kernel_size: int = 3,
        macaron_style: bool = False,
        rel_pos_type: str = "legacy",
        pos_enc_layer_type: str = "rel_pos",
        selfattention_layer_type: str = "rel_selfattn",
        activation_type: str = "swish",
        use_cnn_module: bool = True,
        zero_triu: bool = False,
        cnn_module_kernel: int = 31,
        padding_idx: int = -1,
        interctc_layer_idx: list[int] | None = None,
        interctc_use_conditioning: bool = False,
        ctc_trim: bool = False,
        stochastic_depth_rate: float | list[float] = 0.0,
        layer_drop_rate: float = 0.0,
        max_pos_emb_len: int = 5000,
        qk_norm: bool = False,
        use_flash_attn: bool = True,
        use_sdpa: bool = False,
        adaptive_dropout_conf: dict[str, Any] | None = None,
    ):
        stock = dict(locals())  # the arguments: no other variable exists yet
        for name in ("self", "__class__", "adaptive_dropout_conf"):
            del stock[name]
        stock["interctc_layer_idx"] = list(interctc_layer_idx or [])
        options = compat.stock_options(stock)
        super().__init__(**options)
        self.stock_options = options
        self.input_size = input_size
        self.adaptive_dropout_conf = AdaptiveDropoutConfig.from_dict(
            adaptive_dropout_conf
        )
        for _, owner in attach.owners(self):
            _attach_gates(owner, self.adaptive_dropout_conf)
        put_channels_last(self.embed)
        self.units = UnitTable(self)
        # Whether ``regularise`` was called, and whether a step has passed.
        self.is_regularised = False
        self._has_stepped = False
        self.control: SizeControl | None = None
        if self.units.gates:
            fuse_swish(self)
            self.control = self._make_control()
        # Whether the batch of the last step passes again (see ``distillation``).
        self.is_second_pass = False
        # What was cut out of this encoder in training, if anything was.
        self.training_cut: TrainingCut | None = None

    def _make_control(self) -> SizeControl:
        config = self.adaptive_dropout_conf
        cost = self.units.parameters
        if config.cost == "macs":
            inputs = zero_inputs(self, self.input_size, config.cost_frames)
            cost = mac_cost(self, self.units.groups, inputs)
        return SizeControl(config, self.units, cost)

    def forward(
        self, xs_pad: torch.Tensor, ilens: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Run the stock encoder; in training, first advance the size control.

        A forward without gradients (some tasks look for the best order of speakers
        first) is not a step of the training.

        Raises:
            RuntimeError: nobody called :meth:`regularise` after the first training
                step, or the length of the training is not known.
        """
        stepping = self.training and torch.is_grad_enabled()
        if stepping and self.control is not None and not self.is_second_pass:
            if self._has_stepped and not self.is_regularised:
                raise RuntimeError(
                    "nothing moves the logits of adaptive dropout: build the model "
                    "by an ESPnet task, or call encoder.regularise(loss) in every "
                    "training step, before loss.backward()"
                )
            self.control.begin_step()
        output = super().forward(xs_pad, ilens, *args, **kwargs)
        self._has_stepped |= stepping
        return output

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
    def cut_is_due(self) -> bool:
        """Whether units can be cut out of the training now, and have not been yet."""
        return (
            self.adaptive_dropout_conf.cut_in_training
            and self.training_cut is None
            and self.control is not None
            and self.control.is_frozen
            and len(self.control.sizes) == 1
        )

    @property
    def has_begun(self) -> bool:
        """Whether the gates sample, or have been decided."""
        return self.control is not None and self.control.phase != "open"

    @property
    def size_is_final(self) -> bool:
        """Whether evaluation sees the size that pruning will give."""
        return self.control is None or self.control.is_final


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
