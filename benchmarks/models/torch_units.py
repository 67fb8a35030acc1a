"""Lets Torch-Pruning choose the units of a stock Conformer encoder.

Without help it fails on this encoder or silently skips most of it. It needs an
encoder with one output; a protected residual stream; the two halves of the gated
linear unit as separate layers; the position biases outside of the attention's group;
and new dicts as arguments, because its defaults are shared between pruners.
"""

from __future__ import annotations

import copy
import warnings

import torch

# Names within an EncoderLayer -> where Torch-Pruning's group of it starts
WATCHED = {
    "feed_forward_macaron.w_1": "ffn_macaron",
    "feed_forward.w_1": "ffn",
    "self_attn.linear_v": "attention",
    "conv_module.depthwise_conv": "conv_channel",
}

Removed = dict[tuple[int, str], list[int]]


class _SplitConvolution(torch.nn.Module):
    """ESPnet's convolution module with the two halves of its GLU as two layers."""

    def __init__(self, stock: torch.nn.Module):
        super().__init__()
        channels = stock.pointwise_conv2.in_channels
        self.linear_half = _half(stock.pointwise_conv1, slice(0, channels))
        self.gate_half = _half(stock.pointwise_conv1, slice(channels, None))
        self.depthwise_conv = stock.depthwise_conv
        self.norm = stock.norm
        self.activation = stock.activation
        self.pointwise_conv2 = stock.pointwise_conv2

    def forward(self, x: torch.Tensor, mask_pad=None) -> torch.Tensor:
        """(#batch, time, channels) -> the same."""
        x = x.transpose(1, 2)
        x = self.linear_half(x) * torch.sigmoid(self.gate_half(x))
        x = self.activation(self.norm(self.depthwise_conv(x)))
        return self.pointwise_conv2(x).transpose(1, 2)


def _half(conv: torch.nn.Conv1d, rows: slice) -> torch.nn.Conv1d:
    weight = conv.weight[rows]
    half = torch.nn.Conv1d(conv.in_channels, len(weight), 1, bias=conv.bias is not None)
    half.weight = torch.nn.Parameter(weight.detach().clone())
    if conv.bias is not None:
        half.bias = torch.nn.Parameter(conv.bias[rows].detach().clone())
    return half


class UnitChooser:
    """Asks Torch-Pruning which units to remove at a channel ratio.

    Args:
        encoder: stock ConformerEncoder in evaluation mode; not changed.
        inputs: features (1, frames, dim) and lengths (1,) to trace it with.

    Raises:
        ValueError: torch-pruning is not installed.
    """

    def __init__(self, encoder: torch.nn.Module, inputs: tuple[torch.Tensor, ...]):
        try:
            import torch_pruning
        except ImportError:
            raise ValueError(
                "torch-pruning is not installed: pip install torch-pruning, or leave "
                "out the row torch_pruning"
            ) from None
        self.tp = torch_pruning
        self.encoder = copy.deepcopy(encoder).eval()
        for layer in self.encoder.encoders:
            layer.conv_module = _SplitConvolution(layer.conv_module)
        self.inputs = inputs

    def removed(self, ratio: float) -> Removed:
        """(block, a value of WATCHED) -> unit indices.

        Group magnitude, ranked over all blocks within each kind of group
        ("isomorphic" pruning, its authors' advice for transformers).
        """
        pruner = self._pruner(ratio)
        names = {module: name for name, module in self.encoder.named_modules()}
        removed: Removed = {}
        for group in pruner.step(interactive=True):
            for dependency, indices in group:
                name = names.get(dependency.target.module, "")
                if not pruner.DG.is_out_channel_pruning_fn(dependency.handler):
                    continue
                block, _, part = name.replace("encoders.", "", 1).partition(".")
                if part in WATCHED:
                    removed[(int(block), WATCHED[part])] = sorted(map(int, indices))
        return removed

    def _pruner(self, ratio: float):
        attentions = [layer.self_attn for layer in self.encoder.encoders]
        heads = {
            linear: attention.h
            for attention in attentions
            for linear in (attention.linear_q, attention.linear_k, attention.linear_v)
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self.tp.pruner.BasePruner(
                self.encoder,
                example_inputs=self.inputs,
                importance=self.tp.importance.GroupMagnitudeImportance(p=2),
                global_pruning=True,
                isomorphic=True,
                pruning_ratio=ratio,
                ignored_layers=self._protected(),
                in_channel_groups={},
                out_channel_groups={},
                channel_groups={},
                num_heads=heads,
                output_transform=lambda output: output[0],
            )

    def _protected(self) -> list:
        """Layers that write into the residual stream, and the position biases."""
        protected = [self.encoder.embed, self.encoder.after_norm]
        for layer in self.encoder.encoders:
            protected += [
                layer.feed_forward.w_2,
                layer.feed_forward_macaron.w_2,
                layer.self_attn.linear_out,
                layer.conv_module.pointwise_conv2,
                layer.self_attn.pos_bias_u,
                layer.self_attn.pos_bias_v,
            ]
        return protected
