"""A larger network teaches the masked one.

Without ``adaptive_dropout_conf.teacher`` it is the same network at full width: once
units begin to go, every batch passes the network twice, with the masks and with all
units kept, and the CTC posteriors of the masked network are drawn to those of the
full-width one ("inplace distillation" in Yu and Huang 2019, slimmable networks). With
it, it is an existing model, see ``teacher``.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from typing import Any, Callable

import torch
from torch.utils._pytree import tree_map_only

from espnet_adaptive_dropout.encoders.posteriors import divergence_of, posteriors
from espnet_adaptive_dropout.encoders.teacher import (
    Output,
    check_teacher,
    learn_from,
)
from espnet_adaptive_dropout.experiments.encoder_entry import main_encoder, recogniser
from espnet_adaptive_dropout.stacks.adaptive import AdaptiveStack, adaptive_stacks


def check_distillation(model: torch.nn.Module) -> None:
    """Refuse a model that cannot be compared with its teacher.

    Args:
        model: an ESPnet model whose encoder has adaptive dropout.

    Raises:
        ValueError: the model has no posteriors to compare, or other frames than its
            teacher.
    """
    encoder = main_encoder(model)
    if not encoder.adaptive_dropout_conf.distillation:
        return
    if encoder.adaptive_dropout_conf.teacher is not None:
        check_teacher(model)
    elif getattr(recogniser(model), "ctc", None) is None:
        raise ValueError(
            "adaptive_dropout_conf.distillation needs a model with CTC: set "
            "model_conf.ctc_weight above 0, or leave distillation out"
        )
    if getattr(encoder, "ctc_trim", False):
        raise ValueError(
            "adaptive_dropout_conf.distillation does not go with encoder_conf."
            "ctc_trim: true, with which the masked and the full-width network keep "
            "different frames; leave one of them out"
        )


def distil(model: torch.nn.Module, forward: functools.partial) -> Output:
    """Train on one batch, with a teacher.

    A ``teacher`` of the options only answers: the loss is that of the masked network
    plus ``distillation`` times the divergence of its posteriors from the teacher's,
    from ``ramp_start`` to the end of the training. Of a model with CTC and an attention
    decoder, the divergences of both count as their losses do.

    The full-width network as the teacher only answers too, up to the cut of the
    training. To the loss comes ``distillation`` times the divergence
    KL(full width || masked) of the CTC posteriors, summed over frames and averaged
    over utterances, as ESPnet's CTC loss is. Intermediate CTC layers count as they do
    in the loss. The batch norms' running statistics follow the masked network alone.
    SpecAugment is the same for both, dropout is not.

    Where units are never cut out of the training, the full width teaches to the end
    and learns the task too: the mean of both losses takes the place of the loss.

    Args:
        model: an ESPnet model whose encoder has adaptive dropout.
        forward: the model's own forward with the batch. Each pass gets a copy of the
            batch, which SpecAugment and normalisation change in place where there is
            no frontend.

    Returns:
        Loss, the masked network's stats with ``distillation`` and, of the full width,
        ``full_width_loss``, and weight.
    """
    encoder = main_encoder(model)
    if encoder.adaptive_dropout_conf.teacher is not None:
        conf = encoder.adaptive_dropout_conf
        return learn_from(conf.teacher, conf.distillation, model, forward)
    augmentation = SameAugmentation(recogniser(model))
    with posteriors(model) as students, augmentation.first():
        loss, stats, weight = _on_a_copy(forward)
    if not encoder.has_begun or encoder.training_cut is not None:
        return loss, stats, weight
    whole = full_width(adaptive_stacks(model))
    learns = not encoder.is_to_be_cut
    with posteriors(model) as teachers, augmentation.again(), whole:
        with torch.set_grad_enabled(learns):
            full_loss, _, _ = _on_a_copy(forward)
    divergence = divergence_of(students, teachers, recogniser(model))
    strength = encoder.adaptive_dropout_conf.distillation
    stats = {
        **stats,
        "full_width_loss": full_loss.detach(),
        "distillation": divergence.detach().reshape(1),
    }
    if learns:
        loss = 0.5 * (loss + full_loss)
    return loss + strength * divergence, stats, weight


def _on_a_copy(forward: functools.partial) -> Output:
    batch = (forward.args, forward.keywords)
    args, kwargs = tree_map_only(torch.Tensor, torch.Tensor.clone, batch)
    return forward.func(*args, **kwargs)


@contextlib.contextmanager
def full_width(stacks: Sequence[AdaptiveStack]) -> Iterator[None]:
    """Keep all units for a while, without side effects.

    No training step is counted, and the batch norms' running statistics stay as they
    are.

    Args:
        stacks: encoder and decoder that have adaptive dropout.
    """
    gates = [gate for stack in stacks for gate in stack.units.gates.values()]
    phases = [gate.phase for gate in gates]
    norms = [
        module
        for stack in stacks
        for module in stack.modules()
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm)
        and module.track_running_stats
    ]
    for gate in gates:
        gate.phase = "open"
    for norm in norms:
        norm.track_running_stats = False
    for stack in stacks:
        stack.is_second_pass = True
    try:
        yield
    finally:
        for stack in stacks:
            stack.is_second_pass = False
        for gate, phase in zip(gates, phases):
            gate.phase = phase
        for norm in norms:
            norm.track_running_stats = True


class SameAugmentation:
    """Gives two passes of a batch the same SpecAugment.

    Args:
        model: ESPnet model, with or without a ``specaug``.
    """

    def __init__(self, model: torch.nn.Module):
        self.specaug: torch.nn.Module | None = getattr(model, "specaug", None)
        self._start: list[torch.Tensor] = []

    def first(self) -> contextlib.AbstractContextManager[None]:
        """Keep the state from which SpecAugment draws its random numbers."""
        return self._calling(self._keep_state)

    def again(self) -> contextlib.AbstractContextManager[None]:
        """Let SpecAugment, and nothing else, draw the same random numbers again."""
        return self._calling(self._from_same_state)

    @contextlib.contextmanager
    def _calling(self, wrapper: Callable) -> Iterator[None]:
        if self.specaug is None:
            yield
            return
        self.specaug.forward = functools.partial(wrapper, self.specaug.forward)
        try:
            yield
        finally:
            del self.specaug.forward

    def _keep_state(self, forward: Callable, x: torch.Tensor, *args: Any) -> Any:
        self._start = [torch.get_rng_state()]
        if x.is_cuda:
            self._start.append(torch.cuda.get_rng_state(x.device))
        return forward(x, *args)

    def _from_same_state(self, forward: Callable, x: torch.Tensor, *args: Any) -> Any:
        with torch.random.fork_rng([x.device] if x.is_cuda else []):
            if self._start:
                torch.set_rng_state(self._start[0])
            if self._start and x.is_cuda:
                torch.cuda.set_rng_state(self._start[1], x.device)
            return forward(x, *args)
