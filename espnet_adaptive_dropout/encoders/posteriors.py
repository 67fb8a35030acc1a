"""Posteriors that a model gives in a training step, and how far two of them differ."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import torch

from espnet_adaptive_dropout.experiments.encoder_entry import recogniser


@dataclasses.dataclass
class Posteriors:
    """Logits that a CTC layer, or an attention decoder, gives for a batch.

    Args:
        logits: (#batch, time, tokens); the time of a decoder is that of its text.
        lengths: frames, or tokens, of each utterance, (#batch,).
    """

    logits: torch.Tensor
    lengths: torch.Tensor

    def divergence_from(self, teacher: Posteriors) -> torch.Tensor:
        """KL(teacher || self), summed over frames, averaged over utterances, ()."""
        student = self.logits.float().log_softmax(dim=-1)
        wanted = teacher.logits.detach().float().log_softmax(dim=-1)
        of_frames = (wanted.exp() * (wanted - student)).sum(dim=-1)
        times = torch.arange(of_frames.size(1), device=of_frames.device)
        real = times < self.lengths.to(of_frames.device).unsqueeze(1)
        return of_frames.masked_fill(~real, 0.0).sum() / len(of_frames)


def divergence_of(
    students: list[Posteriors], teachers: list[Posteriors], model: torch.nn.Module
) -> torch.Tensor:
    """Divergence of the last layer and, by ``interctc_weight``, of those before it.

    ESPnet calculates the CTC loss of the last layer first.

    Args:
        students: CTC posteriors of the model in training.
        teachers: those of its teacher, in the same order.
        model: part of the ESPnet model that has the encoder.
    """
    last, *intermediate = [s.divergence_from(t) for s, t in zip(students, teachers)]
    if not intermediate:
        return last
    share = model.interctc_weight
    return (1.0 - share) * last + share * torch.stack(intermediate).mean()


@contextlib.contextmanager
def posteriors(model: torch.nn.Module) -> Iterator[list[Posteriors]]:
    """Gathers the logits of the CTC layer whenever its loss is calculated."""
    ctc = recogniser(model).ctc
    gathered: list[Posteriors] = []
    lengths: list[torch.Tensor] = []

    def before_loss(module: torch.nn.Module, inputs: Any) -> None:
        lengths.append(inputs[1])

    def after_logits(
        module: torch.nn.Module, inputs: Any, logits: torch.Tensor
    ) -> None:
        if lengths:  # elsewhere it is asked for predictions
            gathered.append(Posteriors(logits, lengths.pop()))

    hooks = (
        ctc.register_forward_pre_hook(before_loss),
        ctc.ctc_lo.register_forward_hook(after_logits),
    )
    try:
        yield gathered
    finally:
        for hook in hooks:
            hook.remove()
