"""The full-width network teaches the masked one in the same training.

Once units begin to go, every batch passes the network twice, with the masks and with
all units kept. Both learn the task, and the CTC posteriors of the masked network are
drawn to those of the full-width one, as slimmable networks are trained (Yu and Huang
2019, "inplace distillation").
"""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Callable, Dict, Iterator, List, Optional, Tuple

import torch

from espnet_adaptive_dropout.encoders.adaptive import AdaptiveDropoutConformerEncoder
from espnet_adaptive_dropout.experiments.encoder_entry import main_encoder, recogniser

# Loss (1,), stats and weight, as an ESPnet model returns them.
Output = Tuple[torch.Tensor, Dict[str, torch.Tensor], torch.Tensor]


def distil(model: torch.nn.Module, forward: Callable[[], Output]) -> Output:
    """Train the masked and the full-width network on one batch.

    The loss is the mean of both losses, plus ``distillation`` times the divergence
    KL(full width || masked) of the CTC posteriors, summed over frames and averaged
    over utterances, as ESPnet's CTC loss is. The batch norms' running statistics
    follow the masked network alone. SpecAugment is the same for both, dropout is not.

    Args:
        model: an ESPnet model whose encoder has adaptive dropout.
        forward: the model's own forward on the batch.

    Returns:
        Loss, the masked network's stats with ``full_width_loss`` and
        ``distillation``, and weight.

    Raises:
        ValueError: the model has no CTC.
    """
    encoder = main_encoder(model)
    augmentation = SameAugmentation(recogniser(model))
    with posteriors(model) as students, augmentation.first():
        loss, stats, weight = forward()
    if not encoder.has_begun:
        return loss, stats, weight
    with posteriors(model) as teachers, augmentation.again(), full_width(encoder):
        full_loss, _, _ = forward()
    pairs = zip(students, teachers)
    divergence = torch.stack([s.divergence_from(t) for s, t in pairs]).mean()
    strength = encoder.adaptive_dropout_conf.distillation
    stats = {
        **stats,
        "full_width_loss": full_loss.detach(),
        "distillation": divergence.detach().reshape(1),
    }
    return 0.5 * (loss + full_loss) + strength * divergence, stats, weight


@dataclasses.dataclass
class Posteriors:
    """What a CTC layer says of a batch.

    Args:
        logits: (#batch, time, tokens).
        lengths: of the utterances, (#batch,).
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


@contextlib.contextmanager
def posteriors(model: torch.nn.Module) -> Iterator[List[Posteriors]]:
    """Gathers what the CTC layer says whenever its loss is calculated.

    Raises:
        ValueError: the model has no CTC.
    """
    ctc = getattr(recogniser(model), "ctc", None)
    if ctc is None:
        raise ValueError(
            "adaptive_dropout_conf.distillation needs a model with CTC: set "
            "model_conf.ctc_weight above 0, or leave distillation out"
        )
    gathered: List[Posteriors] = []
    lengths: List[torch.Tensor] = []

    def before_loss(module, inputs):
        lengths.append(inputs[1])

    def after_logits(module, inputs, logits):
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


@contextlib.contextmanager
def full_width(encoder: AdaptiveDropoutConformerEncoder) -> Iterator[None]:
    """All units are kept, the clock stands still, batch norms keep their statistics."""
    gates = list(encoder.units.gates.values())
    phases = [gate.phase for gate in gates]
    norms = [
        module
        for module in encoder.modules()
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm)
        and module.track_running_stats
    ]
    for gate in gates:
        gate.phase = "open"
    for norm in norms:
        norm.track_running_stats = False
    encoder.clock_stands = True
    try:
        yield
    finally:
        encoder.clock_stands = False
        for gate, phase in zip(gates, phases):
            gate.phase = phase
        for norm in norms:
            norm.track_running_stats = True


class SameAugmentation:
    """Gives two passes of a batch the same SpecAugment.

    Args:
        model: with a ``specaug``, or without.
    """

    def __init__(self, model: torch.nn.Module):
        self.specaug: Optional[torch.nn.Module] = getattr(model, "specaug", None)
        self._start: Optional[_Generators] = None

    @contextlib.contextmanager
    def first(self) -> Iterator[None]:
        """Notes the random numbers that SpecAugment is about to draw."""

        def note(module, inputs):
            self._start = _Generators.now(inputs[0].device)

        with self._hooks(before=note):
            yield

    @contextlib.contextmanager
    def again(self) -> Iterator[None]:
        """Lets SpecAugment draw them once more, and nothing else."""
        kept: List[_Generators] = []

        def rewind(module, inputs):
            kept.append(_Generators.now(inputs[0].device))
            if self._start is not None:
                self._start.restore()

        def go_on(module, inputs, output):
            kept.pop().restore()

        with self._hooks(before=rewind, after=go_on):
            yield

    @contextlib.contextmanager
    def _hooks(self, before, after=None) -> Iterator[None]:
        hooks = []
        if self.specaug is not None:
            hooks.append(self.specaug.register_forward_pre_hook(before))
            if after is not None:
                hooks.append(self.specaug.register_forward_hook(after))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


@dataclasses.dataclass
class _Generators:
    """States of the random number generators that modules on a device use."""

    device: torch.device
    cpu: torch.Tensor
    cuda: Optional[torch.Tensor]

    @classmethod
    def now(cls, device: torch.device) -> _Generators:
        on_gpu = device.type == "cuda"
        cuda = torch.cuda.get_rng_state(device) if on_gpu else None
        return cls(device, torch.get_rng_state(), cuda)

    def restore(self) -> None:
        torch.set_rng_state(self.cpu)
        if self.cuda is not None:
            torch.cuda.set_rng_state(self.cuda, self.device)
