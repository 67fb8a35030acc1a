"""Parameters and multiply-accumulates of a model and its encoder."""

from __future__ import annotations

import torch

from espnet_adaptive_dropout.experiments.checkpoint import is_gate_weight
from espnet_adaptive_dropout.experiments.encoder_entry import main_encoder
from espnet_adaptive_dropout.experiments.features import (
    TOKENS_PER_SECOND,
    Inputs,
    data_names,
    noise_inputs,
)
from espnet_adaptive_dropout.modules.mac_counter import operator_counter

# Length of the utterance at which MACs are stated.
MAC_SECONDS = 10.0


def parameters(module: torch.nn.Module) -> int:
    """Number of parameters; gates of adaptive dropout are not counted."""
    return sum(
        parameter.numel()
        for name, parameter in module.named_parameters()
        if not is_gate_weight(name)
    )


@torch.no_grad()
def macs(encoder: torch.nn.Module, inputs: Inputs) -> int:
    """Multiply-accumulates of one forward pass, by PyTorch's operator counter."""
    with operator_counter(encoder) as counter:
        inputs.run(encoder)
    return counter.get_total_flops() // 2


def sizes(model: torch.nn.Module) -> dict[str, float]:
    """Sizes of an ESPnet model.

    Returns:
        ``encoder_params``, ``total_params``, ``encoder_macs`` (one utterance of
        ``mac_seconds``) and ``mac_seconds``. Where the encoder reads text, the
        utterance is one of ``mac_tokens``.
    """
    encoder = main_encoder(model)
    length = {"mac_seconds": MAC_SECONDS}
    if "speech" not in data_names(model):
        length = {"mac_tokens": MAC_SECONDS * TOKENS_PER_SECOND}
    return {
        "encoder_params": parameters(encoder),
        "total_params": parameters(model),
        "encoder_macs": macs(encoder, noise_inputs(model, MAC_SECONDS)),
        **length,
    }
