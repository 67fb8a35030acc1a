"""Conditioning tokens in front of the frames, as the task s2t_ctc passes them."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import torch

# The class after the mixin is an encoder, with ``forward`` and ``embed``.
_Encoder: Any = torch.nn.Module if TYPE_CHECKING else object


class PrefixInput(_Encoder):
    """Mixin for encoders: takes the arguments that the task ``s2t_ctc`` passes.

    The embedded language and task tokens become the first frames after the
    subsampling, as in ESPnet's ``e_branchformer_ctc``. A Conformer has no
    cross-attention, so that the prompt (``memory``) is ignored, as by
    ``e_branchformer_ctc`` with ``use_cross_attention: false``.
    """

    def forward(
        self,
        xs_pad: torch.Tensor,
        ilens: torch.Tensor,
        *args: Any,
        prefix_embeds: torch.Tensor | None = None,
        memory: torch.Tensor | None = None,
        memory_mask: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Run the stock encoder, with the prefix if there is one.

        Args:
            xs_pad: features (#batch, frames, dim).
            ilens: lengths of the utterances (#batch,).
            *args: other arguments of the stock encoder.
            prefix_embeds: (#batch, tokens, output_size), or None.
            memory: not used.
            memory_mask: not used.
            **kwargs: other keyword arguments of the stock encoder.

        Returns:
            Output (#batch, tokens + frames, output_size), lengths (#batch,), None.

        Raises:
            ValueError: the installed ESPnet's input layer takes no prefix.
        """
        if prefix_embeds is None:
            return super().forward(xs_pad, ilens, *args, **kwargs)
        if "prefix_embeds" not in inspect.signature(self.embed.forward).parameters:
            raise ValueError(
                f"encoder_conf.input_layer: the installed ESPnet's "
                f"{type(self.embed).__name__} takes no language and task tokens; "
                f"choose conv2d8"
            )

        def add_prefix(
            module: torch.nn.Module, inputs: Any, options: dict[str, Any]
        ) -> tuple[Any, dict[str, Any]]:
            return inputs, {**options, "prefix_embeds": prefix_embeds}

        handle = self.embed.register_forward_pre_hook(add_prefix, with_kwargs=True)
        try:
            return super().forward(xs_pad, ilens, *args, **kwargs)
        finally:
            handle.remove()
