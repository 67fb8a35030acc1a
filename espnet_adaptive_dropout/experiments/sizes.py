"""Parameters and multiply-accumulates of a model and its encoder."""

from __future__ import annotations

import torch

from espnet_adaptive_dropout.experiments.checkpoint import is_gate_weight
from espnet_adaptive_dropout.experiments.encoder_entry import (
    main_decoder,
    main_encoder,
    recogniser,
)
from espnet_adaptive_dropout.experiments.features import (
    TOKENS_PER_SECOND,
    Inputs,
    data_names,
    noise_inputs,
)
from espnet_adaptive_dropout.modules.mac_counter import operator_counter

# Length of the utterance whose MACs are counted
MAC_SECONDS = 10.0


def parameters(module: torch.nn.Module) -> int:
    """Return the number of parameters; gates and size control are not counted."""
    return sum(
        parameter.numel()
        for name, parameter in module.named_parameters()
        if not is_gate_weight(name)
    )


@torch.no_grad()
def macs(encoder: torch.nn.Module, inputs: Inputs) -> int:
    """Count the multiply-accumulates of one forward pass, operator by operator."""
    with operator_counter(encoder) as counter:
        inputs.run(encoder)
    return counter.get_total_flops() // 2


def sizes(model: torch.nn.Module) -> dict[str, float]:
    """Return the sizes of an ESPnet model.

    Returns:
        ``encoder_params``, ``total_params``, ``encoder_macs`` of one utterance, and
        the length of the utterance: ``mac_seconds``, or ``mac_tokens`` where the
        encoder reads text; ``decoder_params`` if there is a decoder.
    """
    encoder, decoder = main_encoder(model), main_decoder(model)
    length = {"mac_seconds": MAC_SECONDS}
    if "speech" not in data_names(model):
        length = {"mac_tokens": MAC_SECONDS * TOKENS_PER_SECOND}
    return {
        "encoder_params": parameters(encoder),
        "total_params": parameters(model),
        "encoder_macs": macs(encoder, noise_inputs(model, MAC_SECONDS)),
        **length,
        **({} if decoder is None else {"decoder_params": parameters(decoder)}),
    }


def fixed_parts(model: torch.nn.Module) -> dict[str, int]:
    """Return the parameters of what adaptive dropout never removes, by name.

    Args:
        model: ESPnet model.
    """
    whole, decoder = recogniser(model), main_decoder(model)
    found = {"CTC": getattr(whole, "ctc", None)}
    if getattr(whole, "joint_network", None) is not None:
        found["prediction network"] = decoder
        found["joint network"] = whole.joint_network
    elif decoder is not None:
        found["embedding of the decoder"] = getattr(decoder, "embed", None)
        found["output layer of the decoder"] = getattr(decoder, "output_layer", None)
    counts = {
        name: parameters(part)
        for name, part in found.items()
        if isinstance(part, torch.nn.Module)
    }
    return {name: count for name, count in counts.items() if count}


def mac_length(sizes: dict[str, float]) -> str:
    """Return the length of the utterance that the MACs are of, "10 s" or "100 tokens".

    Args:
        sizes: result of :func:`sizes`.
    """
    if "mac_seconds" in sizes:
        return f"{sizes['mac_seconds']:.0f} s"
    return f"{sizes['mac_tokens']:.0f} tokens"
