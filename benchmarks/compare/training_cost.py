"""What a training costs, counted in multiply-accumulates of the encoder.

Times of trainings depend on what else the machine does; their products do not. A
training step costs three forward passes, at whatever width, so that the cost of a
training is a sum of parts at full width and of parts at the width of the final model.
"""

from __future__ import annotations

import math
from typing import Any

from benchmarks.compare.runs import PARTS, Run, prune_part
from espnet_adaptive_dropout.control.config import AdaptiveDropoutConfig

# What a training step costs, in forward passes
PASSES = 3


def parts_by_width(run: Run, options: dict[str, Any]) -> tuple[float, float] | None:
    """Length of a training at full width and at the final width.

    Args:
        run: run of the comparison.
        options: its ``adaptive_dropout_conf``; {} without gates.

    Returns:
        Parts of the training (see ``PARTS``) that a full-width encoder would take for
        the cost of those before the cut, and number of parts after it. None for a run
        that cuts several times or has no training of its own.
    """
    if run.kind in ("dense", "stock"):
        return float(run.parts), 0.0
    if run.kind == "small":
        return 0.0, float(run.parts)
    if run.kind in ("cut", "torch_pruning"):
        before = prune_part(run.at)
        after = float(run.parts - before)
        full = before + (after / PASSES if "distillation" in run.options else 0.0)
        return full, after
    if run.kind == "gated":
        return _gated(run, AdaptiveDropoutConfig(**options))
    return None


def _gated(run: Run, config: AdaptiveDropoutConfig) -> tuple[float, float]:
    cut = run.parts
    if config.cuts_training:
        # The part that the freeze is in is the last with masks.
        cut = min(math.ceil(config.freeze_at * run.parts - 1e-6), run.parts)
    full, begin = float(cut), config.gates_begin * run.parts
    if config.teacher is not None:
        full += (run.parts - begin) / PASSES  # its forward pass, to the end
    elif config.distillation:
        # The full width answers up to the cut; without one it learns to the end.
        full += (cut - begin) / (PASSES if config.cuts_training else 1)
    return full, float(run.parts - cut)


def training_cost(parts: tuple[float, float], final_share: float) -> float:
    """Cost of a training as a share of the dense training's.

    Args:
        parts: result of :func:`parts_by_width`.
        final_share: MACs of the final encoder as a share of the dense encoder's.
    """
    full, narrow = parts
    return (full + narrow * final_share) / PARTS
