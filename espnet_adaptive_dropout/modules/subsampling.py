"""ESPnet's two-convolution input layers with gates, and at narrower widths.

conv: Conv2d, ReLU, Conv2d, ReLU; out: Linear. A gate comes after each ReLU, on the
channels. A removed channel contributes nothing, not even a constant.
"""

from __future__ import annotations

import torch

from espnet_adaptive_dropout import compat
from espnet_adaptive_dropout.modules.cpu_inference import is_cpu_inference
from espnet_adaptive_dropout.modules.empty_layers import conv2d, linear
from espnet_adaptive_dropout.modules.gate import AdaptiveDropout
from espnet_adaptive_dropout.modules.masked_product import masked_relu

# Output frames of the convolutions that a CPU evaluates together in single precision,
# in all utterances of a batch, and the least of each: others take longer.
ROWS, LEAST_ROWS = 64, 8


class GatedActivation(torch.nn.Module):
    """An activation function whose channels pass a gate.

    Args:
        activation: stock activation function.
    """

    gate: AdaptiveDropout | None

    def __init__(self, activation: torch.nn.Module):
        super().__init__()
        self.activation = activation
        self.gate = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(#batch, channels, time, frequency) -> the same."""
        if self.gate is None or self.gate.is_open:
            return self.activation(x)
        batch, channels, time, frequency = x.shape
        mask = self.gate.mask((batch, time, frequency, channels), x.dtype)
        mask = mask.movedim(-1, 1)
        if isinstance(self.activation, torch.nn.ReLU) and mask[0, 0].numel() == 1:
            return masked_relu(x, mask)
        return self.activation(x) * mask


class InputConvolutions(torch.nn.Sequential):
    """Convolutions of an input layer, of which a CPU evaluates a few frames at a time.

    What lies between the convolutions is the largest tensor of most encoders; its
    memory does not grow with the utterance. The channels are last in memory, which
    takes two thirds of the time, but half as much again in training.

    Args:
        stock: stock convolutions, whose layers are taken over.

    Attributes:
        rows: output frames in single precision, of all utterances of a batch, that a
            CPU evaluates together; None: it evaluates as ESPnet does.
    """

    def __init__(self, stock: torch.nn.Sequential):
        super().__init__(*stock)
        self.rows: int | None = ROWS

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(#batch, 1, time, frequency) -> (#batch, channels, time', frequency')."""
        if self.rows is None or not is_cpu_inference(self, x):
            return super().forward(x)
        step, reach = _step_and_reach(self)
        time = max((x.size(2) - reach) // step + 1, 1)
        rows = self.rows * 4 // x.element_size()
        rows = max(rows // len(x), LEAST_ROWS)
        parts = []
        for start in range(0, time, rows):
            stop = min(start + rows, time)
            part = x[:, :, step * start : step * (stop - 1) + reach]
            part = part.to(memory_format=torch.channels_last)
            parts.append(super().forward(part))
        return torch.cat(parts, dim=2)


def _step_and_reach(layers: torch.nn.Sequential) -> tuple[int, int]:
    """Return from which frames on, and how many, each output frame is computed."""
    step = reach = 1
    for layer in layers:
        if isinstance(layer, torch.nn.Conv2d):
            reach += step * (layer.kernel_size[0] - 1)
            step *= layer.stride[0]
    return step, reach


def replace_convolutions(embed: torch.nn.Module | None) -> None:
    """Let the convolutions of an input layer, if any, be ``InputConvolutions``."""
    convolutions = getattr(embed, "conv", None)
    if embed is not None and isinstance(convolutions, torch.nn.Sequential):
        embed.conv = InputConvolutions(convolutions)


def has_two_convolutions(embed: torch.nn.Module) -> bool:
    """Whether an input layer is of the kind described above (conv2d, 1, 2 or 6)."""
    layers = list(getattr(embed, "conv", ()))
    return len(layers) == 4 and all(
        isinstance(layer, torch.nn.Conv2d) for layer in layers[::2]
    )


def gated_subsampling(embed: torch.nn.Module) -> torch.nn.Module:
    """Prepare an input layer for gates; one that is prepared stays as it is."""
    for index in (1, 3):
        if not isinstance(embed.conv[index], GatedActivation):
            embed.conv[index] = GatedActivation(embed.conv[index])
    return embed


def narrow_subsampling(embed: torch.nn.Module, first: int, second: int) -> None:
    """Give an input layer other numbers of channels, newly initialised.

    Args:
        embed: input layer with two convolutions; changed in place.
        first: channels of the first convolution; may be 0.
        second: channels of the second convolution; may be 0.

    Raises:
        ValueError: the input layer is of another kind.
    """
    if not has_two_convolutions(embed):
        raise ValueError(
            "encoder_conf.subsampling gives widths of the two convolutions of the "
            "input layers conv2d, conv2d1, conv2d2 and conv2d6; this one has others"
        )
    out = compat.subsampling_output(embed)
    frequencies = out.in_features // embed.conv[2].out_channels
    for index, inputs, outputs in ((0, 1, first), (2, first, second)):
        dense = embed.conv[index]
        embed.conv[index] = conv2d(inputs, outputs, dense.kernel_size, dense.stride)
    compat.set_subsampling_output(embed, linear(second * frequencies, out.out_features))


def output_layer(embed: torch.nn.Module) -> torch.nn.Linear:
    """Return the linear layer behind the convolutions of an input layer."""
    return compat.subsampling_output(embed)
