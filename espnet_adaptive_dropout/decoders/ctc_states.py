"""States of CTC prefix scores, without a loop over the frames.

r_n(t) is the probability that a prefix has been spoken up to frame t and that the frame
is its last label; with r_b(t) the frame is blank (Watanabe et al., "Hybrid
CTC/attention architecture for end-to-end speech recognition", 2017, Algorithm 2). With
phi(t) for the prefix without its last label:

    r_n(t) = (r_n(t-1) + phi(t-1)) x_label(t)
    r_b(t) = (r_b(t-1) + r_n(t-1)) x_blank(t)

Two things make this fast. The score of a candidate needs phi only (``ctc_scores``);
r_n and r_b are worked out here, for the candidates that the search keeps. And the
recursions are linear, so that r(t) = X(t) sum_s a(s-1) / X(s-1), with the product X of
the probabilities x: one cumulative sum. All this is in logarithms here, where X reaches
thousands, hence float64; no term of the sum is negative, so that nothing cancels.
"""

from __future__ import annotations

import dataclasses

import torch

# ESPnet's logarithm of zero
LOGZERO = -1e10
State = tuple[torch.Tensor, torch.Tensor, int, int]  # ESPnet's, see Candidates.select


@dataclasses.dataclass(frozen=True)
class Window:
    """Frames in which a search looks for the next label.

    Args:
        start: first frame.
        end: frame after the last one.
        first_peak: frame that the last of the prefixes has reached, so far.
        last_peak: frame that the first of the prefixes has reached, so far.
    """

    start: int
    end: int
    first_peak: int
    last_peak: int

    @property
    def frames(self) -> slice:
        """The frames."""
        return slice(self.start, self.end)

    @property
    def before(self) -> slice:
        """The frame before each of them."""
        return slice(self.start - 1, self.end - 1)


@dataclasses.dataclass(frozen=True)
class Candidates:
    """Prefixes with all labels that may follow them.

    Args:
        x: log probabilities, (time, utterances, vocabulary).
        blank: id of the blank.
        utterance: that of every prefix, (prefixes,).
        last: last label of every prefix, (prefixes,).
        spoken: log probability that a prefix is spoken up to a frame, (time, prefixes).
        silent: the same, with a blank at the end, (time, prefixes).
        scores: log probability of all texts that begin with a prefix and a label,
            (prefixes, vocabulary).
        window: the frames that count.
        starts: whether the prefixes have no label yet.
    """

    x: torch.Tensor
    blank: int
    utterance: torch.Tensor
    last: torch.Tensor
    spoken: torch.Tensor
    silent: torch.Tensor
    scores: torch.Tensor
    window: Window
    starts: bool

    def select(self, prefix: torch.Tensor, label: torch.Tensor) -> State:
        """Return the states of prefixes with one label more, as ESPnet has them.

        Args:
            prefix: index of every prefix, (hypotheses,).
            label: label after it, (hypotheses,).

        Returns:
            r (time, 2, hypotheses) with r_n and r_b; scores (hypotheses, vocabulary),
            the same for all of the vocabulary; and the peaks of the window.
        """
        frames, before = self.window.frames, self.window.before
        utterance = self.utterance[prefix]
        x, blank = (
            self.x[:, utterance, token].double().clamp(min=LOGZERO)
            for token in (label, torch.full_like(label, self.blank))
        )
        phi = torch.where(
            label == self.last[prefix], self.silent[:, prefix], self.spoken[:, prefix]
        ).double()
        nothing = torch.full_like(x[0], LOGZERO)
        ending = _scan(x[0] if self.starts else nothing, phi[before], x[frames])
        pausing = _scan(nothing, ending[:-1], blank[frames])
        start, end = self.window.start, self.window.end
        r = self.x.new_full((x.size(0), 2, x.size(1)), LOGZERO)
        r[start - 1 : end, 0] = ending.to(r)
        r[start - 1 : end, 1] = pausing.to(r)
        # Behind the window there is silence.
        reached = torch.logaddexp(ending[-1], pausing[-1])
        r[end:, 1] = (reached + blank[end:].cumsum(0)).to(r)
        scores = self.scores[prefix, label].unsqueeze(1).expand(-1, self.x.size(2))
        return r, scores, self.window.first_peak, self.window.last_peak


def _scan(first: torch.Tensor, added: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return r with r(0) = first and r(t) = logaddexp(r(t-1), added(t-1)) + x(t).

    Args:
        first: (hypotheses,).
        added: (frames, hypotheses).
        x: (frames, hypotheses).

    Returns:
        (1 + frames, hypotheses).
    """
    if len(x) == 0:
        return first.unsqueeze(0)
    product = x.cumsum(0)
    terms = added - torch.cat([torch.zeros_like(x[:1]), product[:-1]])
    terms[0] = torch.logaddexp(terms[0], first)
    return torch.cat([first.unsqueeze(0), product + terms.logcumsumexp(0)])
