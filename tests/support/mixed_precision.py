"""ESPnet's mixed precision on a CPU."""

from __future__ import annotations

import torch
from espnet2.train import trainer


def mixed_precision(monkeypatch, dtype, scaler):
    """ESPnet's AMP, on the CPU: it asks PyTorch for that of CUDA."""

    def autocast(*args, enabled=None, **_):
        enabled = args[0] if enabled is None else enabled
        return torch.autocast("cpu", dtype=dtype, enabled=enabled)

    monkeypatch.setattr(trainer, "autocast", autocast)
    monkeypatch.setattr("espnet2.asr.espnet_model.autocast", autocast)
    monkeypatch.setattr(trainer, "GradScaler", scaler)


class CountingScaler(torch.amp.GradScaler):
    """A scaler on the CPU whose first scale is much too large."""

    skipped = 0

    def __init__(self):
        super().__init__("cpu", init_scale=2.0**127, backoff_factor=2.0**-40)
        type(self).skipped = 0

    def update(self, new_scale=None):
        before = self.get_scale()
        super().update(new_scale)
        type(self).skipped += self.get_scale() < before
