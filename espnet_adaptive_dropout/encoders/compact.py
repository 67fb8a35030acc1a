"""The compact Conformer encoder: the widths of a pruned encoder, from its config."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from espnet_adaptive_dropout import compat
from espnet_adaptive_dropout.encoders.prefix_tokens import PrefixInput
from espnet_adaptive_dropout.modules.activation import fuse_swish
from espnet_adaptive_dropout.modules.checked_loading import CheckedLoading
from espnet_adaptive_dropout.modules.compact_attention import compact_attention
from espnet_adaptive_dropout.modules.convolution import CompactConvolution
from espnet_adaptive_dropout.modules.empty_layers import SkippedNorm, conv1d, linear
from espnet_adaptive_dropout.modules.subsampling import (
    narrow_subsampling,
    replace_convolutions,
)
from espnet_adaptive_dropout.units.widths import (
    BlockWidths,
    check_width,
    parse_indices,
    parse_widths,
)


class CompactConformerEncoder(CheckedLoading, PrefixInput, compat.ConformerEncoder):
    """Stock ConformerEncoder with its own widths in every block and head.

    The blocks hold plain ``Linear`` and ``Conv1d`` modules, so that
    ``--quantize_asr_model`` reaches them, and the weights keep the stock names.

    Args:
        input_size: dimension of the input features.
        widths: one mapping for every block, see :class:`BlockWidths`.
        subsampling: channels of the two convolutions of the input layer; None: as
            many as ``output_size``.
        teacher: model file of the model before the cut, which teaches in a training
            (see ``teacher``); None: nobody does.
        distillation: weight of what it teaches.
        **stock_options: options of the stock encoder, with its names and defaults.

    Raises:
        ValueError: the widths do not fit the architecture.
    """

    def __init__(
        self,
        input_size: int,
        widths: Sequence[dict[str, Any]],
        subsampling: Sequence[int] | None = None,
        teacher: str | None = None,
        distillation: float = 0.5,
        **stock_options: Any,
    ):
        options = compat.stock_options(stock_options)
        super().__init__(input_size, **options)
        self._stock_options = dict(input_size=input_size, **options)
        self.teacher = teacher
        self.distillation = distillation
        first = self.encoders[0]
        blocks = parse_widths(
            widths,
            len(self.encoders),
            first.self_attn.h,
            first.feed_forward_macaron is not None,
            first.conv_module is not None,
        )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Initializing zero-element")
            if subsampling is not None:
                narrow_subsampling(self.embed, *_channels(subsampling))
            for layer, block in zip(self.encoders, blocks):
                _narrow(layer, block)
        replace_convolutions(self.embed)
        fuse_swish(self)
        # Distributed training waits for the gradient of every weight that requires one.
        for parameter in self.parameters():
            if parameter.numel() == 0:
                parameter.requires_grad_(False)

    def at_full_width(self) -> torch.nn.Module:
        """Return a new encoder with the same options and all units."""
        return _FullWidth(**self._stock_options)


class _FullWidth(CheckedLoading, PrefixInput, compat.ConformerEncoder):
    """ESPnet's encoder, for checkpoints of any release."""


def _channels(subsampling: Sequence[int]) -> Sequence[int]:
    """Check ``encoder_conf.subsampling``.

    Raises:
        ValueError: it is not the channels of two convolutions.
    """
    where = "encoder_conf.subsampling"
    if not isinstance(subsampling, (list, tuple)) or len(subsampling) != 2:
        raise ValueError(f"{where}={subsampling!r} must be a list of two widths")
    for channels in subsampling:
        check_width(where, channels)
    return subsampling


def _narrow(layer: torch.nn.Module, widths: BlockWidths) -> None:
    """Replace the parts of an EncoderLayer that are narrower than the stock ones."""
    _narrow_feed_forward(layer.feed_forward, widths.ffn)
    if layer.feed_forward_macaron is not None and widths.ffn_macaron is not None:
        _narrow_feed_forward(layer.feed_forward_macaron, widths.ffn_macaron)
    layer.self_attn = compact_attention(layer.self_attn, widths.query, widths.value)
    if layer.conv_module is not None:
        layer.conv_module = _narrow_convolution(layer.conv_module, widths)
    if layer.normalize_before and not layer.concat_after:
        for name in _unread_norms(layer, widths):
            setattr(layer, name, SkippedNorm.of(getattr(layer, name)))


def _unread_norms(layer: torch.nn.Module, widths: BlockWidths) -> Iterator[str]:
    """Layer norms before modules that only add their biases."""
    if not widths.ffn:
        yield "norm_ff"
    if layer.feed_forward_macaron is not None and not widths.ffn_macaron:
        yield "norm_ff_macaron"
    if not sum(widths.value):
        yield "norm_mha"
    convolution = layer.conv_module
    if convolution is not None and not convolution.reads_input:
        yield "norm_conv"


def _narrow_convolution(
    module: torch.nn.Module, widths: BlockWidths
) -> CompactConvolution:
    kept = parse_indices(widths.conv_input or "")
    inputs = module.pointwise_conv1.in_channels
    if kept and kept[-1] >= inputs:
        raise ValueError(
            f"encoder_conf.widths: conv_input={widths.conv_input!r} names an input of "
            f"{kept[-1]}, but there are {inputs}, counted from 0"
        )
    channels = widths.conv_channel
    if channels is None:
        channels = module.depthwise_conv.out_channels
    return CompactConvolution(module, torch.tensor(kept, dtype=torch.long), channels)


def _narrow_feed_forward(module: torch.nn.Module, units: int) -> None:
    module.w_1 = _resized(module.w_1, module.w_1.weight.shape[1], units)
    module.w_2 = _resized(module.w_2, units, module.w_2.weight.shape[0])


def _resized(dense: torch.nn.Module, inputs: int, outputs: int) -> torch.nn.Module:
    """A new Linear or Conv1d of the kind of ``dense`` at another size."""
    if isinstance(dense, torch.nn.Linear):
        return linear(inputs, outputs, bias=dense.bias is not None)
    return conv1d(
        inputs,
        outputs,
        dense.kernel_size,
        padding=dense.padding,
        bias=dense.bias is not None,
    )
