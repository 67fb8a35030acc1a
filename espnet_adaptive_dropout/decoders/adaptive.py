"""ESPnet's Transformer decoder with adaptive dropout."""

from __future__ import annotations

from typing import Any

import torch

from espnet_adaptive_dropout import compat
from espnet_adaptive_dropout.control.config import AdaptiveDropoutConfig
from espnet_adaptive_dropout.decoders.compact import CompactTransformerDecoder
from espnet_adaptive_dropout.modules.checked_loading import CheckedLoading
from espnet_adaptive_dropout.stacks.adaptive import AdaptiveStack
from espnet_adaptive_dropout.units.cost import Cost
from espnet_adaptive_dropout.units.decoder_cost import (
    SearchLength,
    decoder_mac_cost,
)
from espnet_adaptive_dropout.units.layer_widths import compact_decoder_options


class AdaptiveDropoutTransformerDecoder(
    AdaptiveStack, CheckedLoading, compat.TransformerDecoder
):
    """ESPnet's TransformerDecoder whose units carry learned retention probabilities.

    Weights shared with ESPnet's decoder keep their names, so that ``--init_param``
    takes any of its checkpoints. While the gates sample, they replace the inner
    dropout of the feed-forward modules.

    A model may run its decoder several times in a training step, or not at all.
    Therefore the model says when a step begins (:meth:`begin_step`) and calls
    :meth:`regularise`; models that ESPnet's tasks build do.

    Args:
        vocab_size: number of tokens.
        encoder_output_size: size of the encoder output and of the layers.
        adaptive_dropout_conf: options of :class:`AdaptiveDropoutConfig`; None takes
            its defaults, ``{locations: []}`` gives ESPnet's decoder.
        **stock_options: options of the stock decoder, with its names and defaults.

    Raises:
        ValueError: an option is unknown or out of range, a location cannot be pruned
            in this architecture, or the target is above the bound.
    """

    kind = "decoder"
    begins_steps = False
    cut_parts = ("decoders",)

    def __init__(
        self,
        vocab_size: int,
        encoder_output_size: int,
        adaptive_dropout_conf: dict[str, Any] | None = None,
        **stock_options: Any,
    ):
        options = compat.stock_options(
            stock_options, compat.TransformerDecoder, "decoder_conf"
        )
        super().__init__(vocab_size, encoder_output_size, **options)
        sizes = dict(vocab_size=vocab_size, encoder_output_size=encoder_output_size)
        self.attach_gates({**sizes, **options}, adaptive_dropout_conf)
        self.start_control()

    def mac_cost(self, config: AdaptiveDropoutConfig) -> Cost:
        """Multiply-accumulates of every unit in a search; see ``decoder_mac_cost``."""
        length = SearchLength(config.cost_frames, config.cost_tokens, config.cost_beam)
        return decoder_mac_cost(self, self.units.groups, length)

    def compact(self, keep: torch.Tensor) -> CompactTransformerDecoder:
        """Return a new compact decoder with the units ``keep``, bool (units,)."""
        options = compact_decoder_options(self.units, keep)
        return CompactTransformerDecoder(**self.stock_options, **options)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run ESPnet's decoder on all tokens at once.

        Raises:
            RuntimeError: no training step has begun that could move the logits.
        """
        trained = self.training and torch.is_grad_enabled() and not self.is_second_pass
        if trained and self.control is not None and not self._has_stepped:
            raise RuntimeError(
                "nothing moves the logits of adaptive dropout: build the model by an "
                "ESPnet task, or call decoder.begin_step() before the forward and "
                "decoder.regularise(loss) before loss.backward() in every training step"
            )
        return super().forward(*args, **kwargs)
