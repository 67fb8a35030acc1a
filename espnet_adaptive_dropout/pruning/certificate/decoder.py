"""Proof that the compact decoder computes what the decoder that was cut computes.

That is the masked decoder, or ESPnet's where nothing is removed.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from espnet_adaptive_dropout.experiments.encoder_entry import (
    main_encoder,
    recogniser,
)
from espnet_adaptive_dropout.experiments.features import Inputs
from espnet_adaptive_dropout.pruning.certificate.certificate import (
    is_rounding,
    stack_output,
)
from espnet_adaptive_dropout.pruning.certificate.precision import double_precision

# Random tokens that are decoded for every utterance, and hypotheses of each
TOKENS = 12
HYPOTHESES = 4


@dataclasses.dataclass
class DecoderCertificate:
    """Largest difference between the compact decoder and the one that was cut.

    Args:
        largest_difference: largest difference of all scores, in double precision.
        tolerance: largest ``largest_difference`` that passes.
        rounding: largest difference in the model's own precision.
        largest_output: largest score.
        tokens: number of tokens of every hypothesis.
    """

    largest_difference: float
    tolerance: float
    rounding: float
    largest_output: float
    tokens: int = TOKENS

    @property
    def holds(self) -> bool:
        """Whether both differences are small enough; NaN never is."""
        exact = self.largest_difference <= self.tolerance
        return exact and is_rounding(self.rounding, self.largest_output)

    def __str__(self) -> str:
        return f"{self.largest_difference:.1e} in double precision, {self.rounding:.1e}"

    def to_dict(self) -> dict[str, Any]:
        """Return the certificate as a JSON-serialisable mapping."""
        return {**dataclasses.asdict(self), "holds": self.holds}


@torch.no_grad()
def certify_decoder(
    original: torch.nn.Module,
    compact: torch.nn.Module,
    inputs: Inputs,
    tolerance: float,
) -> DecoderCertificate:
    """Compare the decoders of two models in evaluation mode.

    Random tokens are scored after the encoder output of real data: all tokens at once,
    as in training, with gradients and without, and token after token for several
    hypotheses, as in a search.

    Args:
        original: model with ESPnet's decoder, or with one whose gates are set.
        compact: model with the compact decoder.
        inputs: inputs of the encoders.
        tolerance: largest absolute difference that passes, in double precision.

    Raises:
        ValueError: the models have no decoder.
    """
    memory, lengths = stack_output(main_encoder(original), inputs)
    parts = recogniser(original)
    if getattr(parts, "postencoder", None) is not None:
        memory, lengths = parts.postencoder(memory, lengths)
    decoders = parts.decoder, recogniser(compact).decoder
    if None in decoders:
        raise ValueError("the model uses no decoder (CTC only)")
    with double_precision(decoders):
        exact, _ = _compare(*decoders, memory.double(), lengths)
    rounding, largest = _compare(*decoders, memory, lengths)
    return DecoderCertificate(exact, tolerance, rounding, largest)


def _compare(
    original: torch.nn.Module,
    compact: torch.nn.Module,
    memory: torch.Tensor,
    lengths: torch.Tensor,
) -> tuple[float, float]:
    """Return the largest difference and the largest score."""
    expected = torch.cat(_scores(original, memory, lengths))
    found = torch.cat(_scores(compact, memory, lengths))
    with torch.enable_grad():
        trained = _at_once(compact, memory.clone().requires_grad_(), lengths).detach()
    differences = (expected - found, expected[: len(trained)] - trained)
    largest = torch.stack([difference.abs().max() for difference in differences])
    return largest.max().item(), expected.abs().max().item()


def _scores(
    decoder: torch.nn.Module, memory: torch.Tensor, lengths: torch.Tensor
) -> list[torch.Tensor]:
    """Return the scores of random tokens in all ways, (#tokens, vocabulary) each."""
    found = [_at_once(decoder, memory, lengths)]
    tokens = _random_tokens(decoder, len(memory))
    hypotheses = tokens[:1].repeat(HYPOTHESES, 1)
    hypotheses[:, 1:] += torch.arange(HYPOTHESES)[:, None]
    hypotheses %= decoder.embed[0].num_embeddings
    for utterance, length in zip(memory, lengths.tolist()):
        xs = utterance[:length].expand(HYPOTHESES, -1, -1)
        states = [None] * HYPOTHESES
        for known in range(1, TOKENS + 1):
            scores, states = decoder.batch_score(hypotheses[:, :known], states, xs)
            found.append(scores)
    return found


def _at_once(
    decoder: torch.nn.Module, memory: torch.Tensor, lengths: torch.Tensor
) -> torch.Tensor:
    """Return the scores of random tokens as in training, (#tokens, vocabulary)."""
    tokens = _random_tokens(decoder, len(memory))
    scores, _ = decoder(memory, lengths, tokens, torch.full_like(lengths, TOKENS))
    return scores.flatten(0, 1)


def _random_tokens(decoder: torch.nn.Module, utterances: int) -> torch.Tensor:
    """Return the same tokens for all decoders, (utterances, TOKENS)."""
    generator = torch.Generator().manual_seed(0)
    vocabulary = decoder.embed[0].num_embeddings
    return torch.randint(vocabulary, (utterances, TOKENS), generator=generator)
