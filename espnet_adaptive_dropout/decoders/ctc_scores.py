"""Scores of the labels that may follow the prefixes of a search, by their CTC."""

from __future__ import annotations

from typing import Any

import torch

from espnet_adaptive_dropout.decoders.ctc_states import (
    LOGZERO,
    Candidates,
    State,
    Window,
)


class PrefixScores:
    """The methods of ESPnet's CTCPrefixScoreTH that a search calls.

    Args:
        stock: ESPnet's object for the utterances. It keeps the log probabilities, and
            extends them and the states in a streaming search.
    """

    def __init__(self, stock: Any):
        self.stock = stock
        self._likelihoods: tuple[torch.Tensor, torch.Tensor] | None = None

    def __call__(
        self,
        y: torch.Tensor,
        state: State | None,
        scoring_ids: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, Candidates]:
        """Score the labels after prefixes.

        Args:
            y: prefixes with the start symbol, (prefixes, tokens); those of an utterance
                are neighbours, and each has the same number.
            state: states of the prefixes; None at the start.
            scoring_ids: labels to score, (prefixes, labels); None for all.

        Returns:
            Scores (prefixes, vocabulary), and the candidates.
        """
        stock = self.stock
        x = stock.x[0]
        prefixes = len(y)
        numbers = torch.arange(prefixes, device=x.device)
        utterance = numbers // (prefixes // stock.batch)
        if state is None:
            blanks = x[:, :, stock.blank].double().cumsum(0).to(x)[:, utterance]
            r = torch.stack([torch.full_like(blanks, LOGZERO), blanks], dim=1)
            state = r, x.new_zeros(prefixes, 1), 0, 1
        r, before, *peaks = state
        spoken, labels = torch.logaddexp(r[:, 0], r[:, 1]), y.size(1) - 1
        candidates = Candidates(
            x=x,
            blank=stock.blank,
            utterance=utterance,
            last=y[:, -1],
            spoken=spoken,
            silent=r[:, 1],
            scores=x.new_full((prefixes, stock.odim), LOGZERO),
            window=_window(stock, spoken, labels, *peaks),
            starts=labels == 0,
        )
        scores = candidates.scores
        if scoring_ids is None:
            scores[:] = _log_psi_of_all(candidates, *self._scaled_likelihoods())
        else:
            scores.scatter_(1, scoring_ids, _log_psi(candidates, scoring_ids))
        ends = stock.end_frames.to(x.device)[utterance]
        scores[:, stock.eos] = spoken[ends, numbers]
        if stock.eos != stock.blank:
            scores[:, stock.blank] = LOGZERO
        return scores - before, candidates

    def _scaled_likelihoods(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Probabilities of all labels, (time, utterances, vocabulary), and a scale.

        They are divided by the largest one of a label; its logarithm is the scale.
        """
        if self._likelihoods is None:
            x = self.stock.x[0].double().clamp(min=LOGZERO)
            scale = x.amax(0)
            self._likelihoods = (x - scale).exp(), scale
        return self._likelihoods

    def index_select_state(self, state: Candidates, best_ids: torch.Tensor) -> State:
        """Return the states of the hypotheses that a search keeps.

        Args:
            state: what was scored.
            best_ids: prefix of the utterance · vocabulary + label,
                (utterances, hypotheses).
        """
        each = len(state.last) // self.stock.batch
        shift = each * torch.arange(len(best_ids), device=best_ids.device)
        prefix = best_ids // self.stock.odim + shift.unsqueeze(1)
        return state.select(prefix.flatten(), (best_ids % self.stock.odim).flatten())

    def extend_prob(self, x: torch.Tensor) -> None:
        """Take the log probabilities of all frames so far, (1, time, vocabulary)."""
        self._likelihoods = None
        self.stock.extend_prob(x)

    def extend_state(self, state: State | None) -> State | None:
        """Return the state of a hypothesis for all frames that are there now."""
        return self.stock.extend_state(state)


def _window(
    stock: Any, spoken: torch.Tensor, labels: int, first_peak: int, last_peak: int
) -> Window:
    """The frames over which ESPnet's recursion runs for prefixes with ``labels``."""
    frames = len(spoken)
    if stock.margin <= 0:
        return Window(min(max(labels, 1), frames), frames, 0, 0)
    peaks = spoken.argmax(0)
    earliest = max(int(peaks.min()), first_peak)
    latest = max(int(peaks.max()), last_peak)
    start = min(last_peak, max(earliest - stock.margin, labels, 1))
    end = stock._window_end(latest, latest + stock.margin + 1)
    return Window(start, end, earliest, latest)


def _log_psi(candidates: Candidates, ids: torch.Tensor) -> torch.Tensor:
    """Log probability of a prefix, a label and any text after it.

    Args:
        candidates: the prefixes.
        ids: the labels, (prefixes, labels).

    Returns:
        As ``ids``.
    """
    window = candidates.window
    x = candidates.x.flatten(1)
    columns = (ids + candidates.x.size(2) * candidates.utterance.unsqueeze(1)).flatten()
    labels = x[window.frames].index_select(1, columns).view(-1, *ids.shape)
    psi = _logsumexp(candidates.spoken[window.before].unsqueeze(2) + labels)
    repeats = ids == candidates.last.unsqueeze(1)
    psi = torch.where(repeats, _of_repetition(candidates).unsqueeze(1), psi)
    return _with_first_frame(psi, x[0][columns].view_as(psi), candidates.starts)


def _log_psi_of_all(
    candidates: Candidates, likelihoods: torch.Tensor, scale: torch.Tensor
) -> torch.Tensor:
    """As ``_log_psi`` for all labels, by a matrix product.

    Args:
        candidates: the prefixes.
        likelihoods: exp(x - scale), (time, utterances, vocabulary) in float64.
        scale: the largest x of every label, (utterances, vocabulary).

    Returns:
        (prefixes, vocabulary).
    """
    window, utterances = candidates.window, len(scale)
    spoken = candidates.spoken[window.before].double()
    top = candidates.spoken.amax(0).double()
    shares = (spoken - top).exp().unflatten(1, (utterances, -1))
    sums = torch.einsum("tup,tuv->upv", shares, likelihoods[window.frames])
    psi = (sums.log() + scale.unsqueeze(1)).flatten(0, 1) + top.unsqueeze(1)
    if psi.isinf().any():  # float64 has no numbers as small
        return _log_psi(candidates, _all_labels(psi))
    psi = psi.to(candidates.scores)
    psi.scatter_(1, candidates.last.unsqueeze(1), _of_repetition(candidates)[:, None])
    first = candidates.x[0][candidates.utterance]
    return _with_first_frame(psi, first, candidates.starts)


def _all_labels(scores: torch.Tensor) -> torch.Tensor:
    return torch.arange(scores.size(1), device=scores.device).expand_as(scores)


def _of_repetition(candidates: Candidates) -> torch.Tensor:
    """As ``_log_psi`` for the last label again, (prefixes,); a blank is between."""
    window = candidates.window
    labels = candidates.x[window.frames, candidates.utterance, candidates.last]
    return _logsumexp(candidates.silent[window.before] + labels)


def _logsumexp(terms: torch.Tensor) -> torch.Tensor:
    """Sum over the first dimension; ``terms`` is overwritten.

    Terms below exp(-80) of the largest one do not show in the sum, but exponentials
    near the smallest number that float32 has make CPUs six times as slow.
    """
    if len(terms) == 0:
        return terms.new_full(terms.shape[1:], -float("inf"))
    top = terms.amax(0).clamp_(min=LOGZERO)
    return terms.sub_(top).clamp_(min=-80.0).exp_().sum(0).log_().add_(top)


def _with_first_frame(psi: torch.Tensor, x: torch.Tensor, starts: bool) -> torch.Tensor:
    """Add the chance that the first label of a text, ``x``, is spoken at once."""
    return torch.logaddexp(psi, x if starts else torch.full_like(psi, LOGZERO))
