"""An existing model teaches the one that is trained.

Of each batch the teacher reads what the encoder in training reads, and what the decoder
reads of the text. It has all its units, does not change, and needs no gradients. The
training may have fewer labels than the teacher saw, or the teacher's own.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import torch

from espnet_adaptive_dropout.encoders.posteriors import (
    Posteriors,
    divergence_of,
    posteriors,
)
from espnet_adaptive_dropout.experiments.checkpoint import is_gate_weight
from espnet_adaptive_dropout.experiments.encoder_entry import recogniser
from espnet_adaptive_dropout.experiments.experiment import load_state, load_weights

_OPTION = "adaptive_dropout_conf.teacher"
_PARTS = ("encoder", "ctc", "decoder")
# Loss (1,), stats and weight, as an ESPnet model returns them.
Output = tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor]
# Attribute of a model: its teacher, which is no part of it
_TEACHER = "adaptive_dropout_teacher"


@dataclasses.dataclass
class Lesson:
    """What the model in training did in one step.

    Args:
        encoder_inputs: arguments of the encoder, one pair of positional and named ones.
        ctc: posteriors of the CTC losses, the last layer first.
        texts: tokens that the decoder read and their numbers, if it was called.
        decoder: posteriors of the decoder in each of these calls.
    """

    encoder_inputs: list[tuple[tuple[Any, ...], dict[str, Any]]]
    ctc: list[Posteriors]
    texts: list[tuple[torch.Tensor, torch.Tensor]]
    decoder: list[Posteriors]


@contextlib.contextmanager
def watching(model: torch.nn.Module) -> Iterator[Lesson]:
    """Gathers what a teacher needs to know of a training step."""
    student = recogniser(model)
    lesson = Lesson([], [], [], [])

    def before_encoder(module: Any, args: Any, kwargs: Any) -> None:
        lesson.encoder_inputs.append((args, dict(kwargs)))

    def after_decoder(module: Any, args: Any, output: Any) -> None:
        _, _, tokens, lengths = args[:4]
        lesson.texts.append((tokens, lengths))
        lesson.decoder.append(Posteriors(output[0], lengths))

    with contextlib.ExitStack() as stack:
        handle = student.encoder.register_forward_pre_hook(
            before_encoder, with_kwargs=True
        )
        stack.callback(handle.remove)
        if attention_decoder(model) is not None:
            handle = student.decoder.register_forward_hook(after_decoder)
            stack.callback(handle.remove)
        if getattr(student, "ctc", None) is not None:
            lesson.ctc = stack.enter_context(posteriors(model))
        yield lesson


def attention_decoder(model: torch.nn.Module) -> torch.nn.Module | None:
    """Return the attention decoder of an ESPnet model; None without one."""
    whole = recogniser(model)
    if getattr(whole, "use_transducer_decoder", False):
        return None
    return getattr(whole, "decoder", None)


class Teacher:
    """Encoder, CTC layer and attention decoder of an existing model.

    It is no part of the model in training: neither checkpoints nor optimizers know it.

    Args:
        model: ESPnet model in training, of any width.
        path: model file of a training with the same config, without adaptive dropout.

    Raises:
        ValueError: the file cannot be read, is of another config, or has gates.
    """

    def __init__(self, model: torch.nn.Module, path: str):
        student = recogniser(model)
        state = load_teacher(path)
        name = next(n for n, module in model.named_modules() if module is student)
        self.encoder = _at_full_width(student.encoder)
        self.ctc = _copy(getattr(student, "ctc", None))
        self.decoder = _at_full_width(attention_decoder(model))
        like = next(student.encoder.parameters())
        for part_name in _PARTS:
            part = getattr(self, part_name)
            if part is not None:
                prefix = f"{name}.{part_name}.".lstrip(".")
                weights = {
                    key[len(prefix) :]: value
                    for key, value in state.items()
                    if key.startswith(prefix)
                }
                load_weights(part, weights, f"{_OPTION} {path}")
                part.to(device=like.device, dtype=like.dtype)
                part.requires_grad_(False).eval()

    @torch.no_grad()
    def answers(self, lesson: Lesson) -> tuple[list[Posteriors], list[Posteriors]]:
        """Return the teacher's posteriors of CTC and decoder, in the same order."""
        args, kwargs = lesson.encoder_inputs[0]
        if "ctc" in kwargs:
            kwargs = {**kwargs, "ctc": self.ctc}
        output, lengths, _ = self.encoder(*args, **kwargs)
        layers = [output]
        if isinstance(output, tuple):
            output, intermediate = output
            layers = [output, *(layer for _, layer in intermediate)]
        ctc = []
        for layer, student in zip(layers, lesson.ctc):
            assert self.ctc is not None
            ctc.append(Posteriors(self.ctc.ctc_lo(layer), student.lengths))
        decoder = []
        for tokens, numbers in lesson.texts:
            assert self.decoder is not None
            logits, _ = self.decoder(output, lengths, tokens, numbers)
            decoder.append(Posteriors(logits, numbers))
        return ctc, decoder


def check_teacher(model: torch.nn.Module) -> None:
    """Refuse a model that cannot be compared with a teacher.

    Args:
        model: ESPnet model.

    Raises:
        ValueError: it has no posteriors, or parts that the teacher lacks, or other
            frames than the teacher.
    """
    student = recogniser(model)
    if getattr(student, "postencoder", None) is not None:
        raise ValueError("teacher: does not go with a postencoder; leave it out")
    if getattr(student, "ctc", None) is None and attention_decoder(model) is None:
        raise ValueError(
            "teacher: needs a model with CTC or an attention decoder; leave it out"
        )
    if getattr(student.encoder, "ctc_trim", False):
        raise ValueError(
            "teacher: does not go with encoder_conf.ctc_trim: true, with which it "
            "would keep other frames; leave one of them out"
        )


def learn_from(
    path: str, strength: float, model: torch.nn.Module, forward: functools.partial
) -> Output:
    """Train on one batch with an existing model as the teacher.

    To the loss comes ``strength`` times the divergence of the posteriors from the
    teacher's. Of a model with CTC and an attention decoder, the divergences of both
    count as their losses do. Before the gates of a model sample, nothing comes to it.

    Args:
        path: model file of the teacher.
        strength: weight of the divergence.
        model: ESPnet model.
        forward: its own forward with the batch.

    Returns:
        Loss, stats with ``distillation``, and weight.
    """
    teacher = model.__dict__.get(_TEACHER)
    if teacher is None:  # after a resumed training has its weights and its device
        teacher = Teacher(model, path)
        model.__dict__[_TEACHER] = teacher
    with watching(model) as lesson:
        loss, stats, weight = forward()
    student = recogniser(model)
    if not getattr(student.encoder, "has_begun", True):
        return loss, stats, weight
    ctc, decoder = teacher.answers(lesson)
    share = float(getattr(student, "ctc_weight", 1.0)) if decoder else 1.0
    divergence = torch.zeros((), device=loss.device)
    if ctc:
        divergence = divergence + share * divergence_of(lesson.ctc, ctc, student)
    for mine, other in zip(lesson.decoder, decoder):
        divergence = divergence + (1.0 - share) * mine.divergence_from(other)
    stats = {**stats, "distillation": divergence.detach().reshape(1)}
    return loss + strength * divergence, stats, weight


def load_teacher(path: str) -> dict[str, torch.Tensor]:
    """Read the weights of a teacher.

    Raises:
        ValueError: the file cannot be read, or is of a model with adaptive dropout.
    """
    try:
        state = load_state(path)
    except ValueError as error:
        raise ValueError(f"{_OPTION}: {error}") from None
    if any(is_gate_weight(name) for name in state):
        raise ValueError(
            f"{_OPTION}: {path} is of a training with adaptive dropout; give the model "
            f"file of a training without it"
        )
    return state


def _copy(part: torch.nn.Module | None) -> torch.nn.Module | None:
    for module in part.modules() if part is not None else ():
        # Attention weights of the last batch, which ESPnet plots in evaluation
        if torch.is_tensor(getattr(module, "attn", None)):
            module.attn = None
    return copy.deepcopy(part)


def _at_full_width(stack: torch.nn.Module | None) -> Any:
    """An encoder or decoder of the same options as one in training, without gates."""
    make = getattr(stack, "at_full_width", None)
    if make is None:  # ESPnet's own
        return _copy(stack)
    # Leave the random numbers of the training alone.
    with torch.random.fork_rng(devices=[]):
        new = make()
    # The model gives it to an encoder with self-conditioned CTC.
    conditioning = getattr(stack, "conditioning_layer", None)
    if conditioning is not None:
        new.conditioning_layer = copy.deepcopy(conditioning)
    return new
