"""What our encoders check when weights are loaded into them.

ESPnet loads models for inference with ``strict=False``, which would leave a weight
that the file lacks at its random initial value without a word.
"""

from __future__ import annotations

from typing import Dict, List

import torch

from espnet_adaptive_dropout.compat import rename_subsampling_output


def check_loaded_weights(
    encoder: torch.nn.Module,
    state_dict: Dict[str, torch.Tensor],
    prefix: str,
    errors: List[str],
) -> None:
    """Rename keys of other ESPnet releases, and report weights that are not there.

    To be called first in ``encoder._load_from_state_dict``.

    Args:
        encoder: the module about to be loaded.
        state_dict: the weights; renamed in place.
        prefix: of the encoder's keys.
        errors: receives one line that PyTorch raises as RuntimeError, strict or not.
    """
    rename_subsampling_output(state_dict, prefix + "embed.", encoder.embed)
    missing = [
        prefix + name
        for name in encoder.state_dict()
        if prefix + name not in state_dict
    ]
    if missing:
        shown = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        errors.append(
            f"{len(missing)} weights of {type(encoder).__name__} are not in the "
            f"checkpoint ({shown}): the checkpoint is of another model than the config"
        )
