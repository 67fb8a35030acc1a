"""ESPnet's transducer needs this package, which has no wheel: torchaudio's loss."""

from __future__ import annotations

import torch
from torchaudio.functional import rnnt_loss


class RNNTLoss(torch.nn.Module):
    """Transducer loss with the interface that ESPnet uses."""

    def __init__(self, blank: int = 0, fastemit_lambda: float = 0.0):
        super().__init__()
        self.blank = blank

    def forward(
        self,
        logits: torch.Tensor,
        targets: torch.Tensor,
        logit_lengths: torch.Tensor,
        target_lengths: torch.Tensor,
    ) -> torch.Tensor:
        """Return the mean loss of a batch."""
        return rnnt_loss(logits, targets, logit_lengths, target_lengths, self.blank)
