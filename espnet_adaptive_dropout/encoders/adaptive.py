"""ESPnet's Conformer encoder with adaptive dropout."""

from __future__ import annotations

from typing import Any

import torch

from espnet_adaptive_dropout import compat
from espnet_adaptive_dropout.control.config import AdaptiveDropoutConfig
from espnet_adaptive_dropout.encoders.compact import CompactConformerEncoder
from espnet_adaptive_dropout.encoders.prefix_tokens import PrefixInput
from espnet_adaptive_dropout.modules.activation import fuse_swish
from espnet_adaptive_dropout.modules.checked_loading import CheckedLoading
from espnet_adaptive_dropout.modules.subsampling import replace_convolutions
from espnet_adaptive_dropout.stacks.adaptive import AdaptiveStack
from espnet_adaptive_dropout.units.cost import Cost
from espnet_adaptive_dropout.units.encoder_cost import mac_cost, zero_inputs
from espnet_adaptive_dropout.units.widths import compact_options


class AdaptiveDropoutConformerEncoder(
    AdaptiveStack, CheckedLoading, PrefixInput, compat.ConformerEncoder
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

    kind = "encoder"
    begins_steps = True
    cut_parts = ("embed", "encoders")

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
        self.input_size = input_size
        self.attach_gates(options, adaptive_dropout_conf)
        replace_convolutions(self.embed)
        self.start_control()
        if self.units.gates:
            fuse_swish(self)

    def mac_cost(self, config: AdaptiveDropoutConfig) -> Cost:
        """Multiply-accumulates of every unit in an utterance of ``cost_frames``."""
        inputs = zero_inputs(self, self.input_size, config.cost_frames)
        return mac_cost(self, self.units.groups, inputs)

    def compact(self, keep: torch.Tensor) -> CompactConformerEncoder:
        """Return a new compact encoder with the units ``keep``, bool (units,)."""
        options = compact_options(self.units, keep)
        return CompactConformerEncoder(**self.stock_options, **options)

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
        if self.training and torch.is_grad_enabled():
            self.begin_step()
        return super().forward(xs_pad, ilens, *args, **kwargs)
