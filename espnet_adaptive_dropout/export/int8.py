"""Dynamic int8 as ESPnet's ``--quantize_asr_model`` does it."""

from __future__ import annotations

import copy
import warnings

import torch


def quantize(encoder: torch.nn.Module) -> torch.nn.Module:
    """A copy of ``encoder`` whose plain ``Linear`` layers run in int8 on the CPU.

    Args:
        encoder: encoder in evaluation mode; not changed.
    """
    engines = [e for e in torch.backends.quantized.supported_engines if e != "none"]
    if torch.backends.quantized.engine == "none" and engines:
        torch.backends.quantized.engine = engines[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on where PyTorch moves its quantisation
        return torch.ao.quantization.quantize_dynamic(
            copy.deepcopy(encoder), qconfig_spec={torch.nn.Linear}, dtype=torch.qint8
        )
