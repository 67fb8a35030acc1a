"""When the compact encoder may compute in its faster ways for CPUs."""

from __future__ import annotations

import torch


def is_cpu_inference(module: torch.nn.Module, x: torch.Tensor) -> bool:
    """Whether ``module`` evaluates ``x`` on a CPU without being recorded.

    Not while it is trained, differentiated, traced, compiled or exported: what is
    computed then is as ESPnet computes it.

    Args:
        module: module in training or evaluation mode.
        x: input of the module.
    """
    recorded = torch.jit.is_tracing() or torch.compiler.is_compiling()
    return (
        x.device.type == "cpu"
        and not module.training
        and not x.requires_grad
        and not recorded
    )
