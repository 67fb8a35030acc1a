"""Checks of the weights that are loaded into an encoder or a decoder.

ESPnet loads models for inference with ``strict=False``, which would leave a weight
that the file lacks at its random initial value without a warning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from espnet_adaptive_dropout.compat import rename_subsampling_output

# The class after the mixin is an encoder or a decoder.
_Part: Any = torch.nn.Module if TYPE_CHECKING else object


class CheckedLoading(_Part):
    """Mixin for encoders and decoders: refuses incomplete weights, strict or not.

    Also gives the keys of other ESPnet releases the names that this one uses.
    """

    def _load_from_state_dict(
        self,
        state_dict: dict[str, torch.Tensor],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing: list[str],
        unexpected: list[str],
        errors: list[str],
    ) -> None:
        rename_subsampling_output(state_dict, prefix + "embed.", self.embed)
        # The size control has no effect in inference, and may have had other weights in
        # the release that trained the checkpoint; a strict load still misses them.
        absent = [
            prefix + name
            for name in self.state_dict()
            if prefix + name not in state_dict and not name.startswith("control.")
        ]
        if absent:
            shown = ", ".join(absent[:3]) + (", ..." if len(absent) > 3 else "")
            errors.append(
                f"{len(absent)} weights of {type(self).__name__} are not in the "
                f"checkpoint ({shown}): the checkpoint is of another model than the "
                f"config"
            )
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing, unexpected, errors
        )
