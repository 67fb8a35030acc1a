"""ESPnet models that add the adaptive-dropout penalty to their loss."""

from __future__ import annotations

from typing import Dict, Tuple

import torch
from espnet2.asr.espnet_model import ESPnetASRModel

from espnet_adaptive_dropout.encoder import AdaptiveDropoutConformerEncoder

# ESPnet's reporter turns infinities into NaN, which cannot be ranked.
LOSS_BEFORE = 1e6


class AdaptiveDropoutMixin:
    """Adds the penalty and the sizes to what an ESPnet model returns.

    In training the encoder's penalty joins the loss and the sizes join the stats,
    where ESPnet logs, plots and sends them to TensorBoard. In evaluation the stats
    get ``final_acc`` and ``final_loss``: the accuracy and the loss once the size is
    final, 0 and a million before. A ``best_model_criterion`` on them never averages
    checkpoints from before and after the freeze.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if not isinstance(self.encoder, AdaptiveDropoutConformerEncoder):
            raise ValueError(
                "'model: adaptive_dropout' needs 'encoder: adaptive_dropout_conformer'"
                f", not {type(self.encoder).__name__}; a compact or stock encoder goes "
                "with ESPnet's own model"
            )

    def forward(self, *args, **kwargs) -> Tuple[torch.Tensor, Dict, torch.Tensor]:
        """As the ESPnet model's forward: loss (1,), stats, weight (1,)."""
        loss, stats, weight = super().forward(*args, **kwargs)
        if self.training:
            penalty, sizes = self.encoder.regularise(loss.detach())
            return loss + penalty, {**stats, **sizes}, weight
        return loss, {**stats, **self._final(stats)}, weight

    def _final(self, stats: Dict) -> Dict[str, torch.Tensor]:
        final = {"final_loss": stats["loss"]}
        if stats.get("acc") is not None:
            final["final_acc"] = stats["acc"]
        if self.encoder.size_is_final:
            return final
        before = {"final_loss": LOSS_BEFORE, "final_acc": 0.0}
        return {
            name: torch.full_like(value, before[name]) for name, value in final.items()
        }


class AdaptiveDropoutASRModel(AdaptiveDropoutMixin, ESPnetASRModel):
    """ESPnetASRModel (CTC, hybrid CTC/attention or transducer) with the penalty."""
