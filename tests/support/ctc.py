"""ESPnet's CTC prefix scorer and ours, side by side."""

from __future__ import annotations

import inspect

import torch

from espnet_adaptive_dropout.compat import CTCPrefixScorer
from espnet_adaptive_dropout.decoders.fast_ctc import FastCTCPrefixScorer

VOCABULARY = 12
EOS = VOCABULARY - 1
IMPOSSIBLE = -1e9  # and below
# Newer releases decode several utterances together, and have a window.
IS_NEW = hasattr(CTCPrefixScorer, "batch_select_state")
HAS_WINDOW = "window_margin" in inspect.signature(CTCPrefixScorer).parameters


class GivenProbabilities(torch.nn.Module):
    """A CTC that takes log probabilities as they are."""

    def log_softmax(self, x):
        return x.clone()


def log_probabilities(
    utterances=1, time=30, dtype=torch.float64, vocabulary=VOCABULARY, seed=0
):
    """Like those of a trained CTC: mostly blank, few labels likely."""
    generator = torch.Generator().manual_seed(seed)
    x = 3.0 * torch.randn(
        utterances, time, vocabulary, dtype=torch.float64, generator=generator
    )
    x[:, :, 0] += 4.0
    return x.log_softmax(-1).to(dtype)


def scorer(kind, x, lengths=None, margin=0):
    """A scorer that has begun with x, (utterances, time, vocabulary)."""
    window = {"window_margin": margin} if margin else {}
    made = kind(GivenProbabilities(), x.size(2) - 1, **window)
    if lengths is None:
        made.batch_init_state(x[0])
    else:
        made.batch_init_state(x, torch.tensor(lengths))
    return made


def draws(steps, hypotheses, labels, vocabulary=VOCABULARY, seed=0):
    """For every step the labels to score of every hypothesis, and the one it takes.

    Every third step the hypotheses take their last label again.
    """
    generator = torch.Generator().manual_seed(seed)
    last = torch.zeros(hypotheses, dtype=torch.long)
    for step in range(steps):
        order = torch.rand(hypotheses, vocabulary - 2, generator=generator).argsort(1)
        ids = 1 + order[:, :labels]
        if step % 3 == 2:
            others = torch.where(ids == last.unsqueeze(1), ids[:, :1], ids)
            ids = torch.cat([last.unsqueeze(1), others[:, 1:]], dim=1)
        last = ids[:, 0]
        yield ids, last


def walk(one, x, utterances, beam, plan, scores_all=False, one_by_one=False):
    """Scores and forward probabilities of every step of a search that takes a plan.

    Args:
        one: the scorer.
        x: log probabilities.
        utterances: their number.
        beam: hypotheses of each.
        plan: what ``draws`` gives.
        scores_all: whether all labels are scored, not those of the plan.
        one_by_one: whether states are selected one by one.
    """
    hypotheses = utterances * beam
    y = torch.full((hypotheses, 1), x.size(2) - 1)
    states = [None] * hypotheses
    found = []
    for ids, taken in plan:
        scores, candidates = one.batch_score_partial(
            y, None if scores_all else ids, states, x
        )
        if one_by_one or not IS_NEW:
            states = [
                one.select_state(candidates, i, int(taken[i]))
                for i in range(hypotheses)
            ]
            r = torch.stack([state[0] for state in states], dim=2)
        else:
            index = torch.arange(beam).repeat(utterances) * x.size(2) + taken
            states = one.batch_select_state(candidates, index.view(utterances, beam))
            r = states[0]
        y = torch.cat([y, taken.unsqueeze(1)], dim=1)
        found.append((scores, r))
    return found


def both_walks(x, lengths=None, beam=3, margin=0, steps=12, labels=5, **options):
    """``walk`` of ESPnet's scorer and of ours."""
    utterances = x.size(0)
    return [
        walk(
            scorer(kind, x, lengths, margin),
            x,
            utterances,
            beam,
            draws(steps, utterances * beam, labels, x.size(2)),
            **options,
        )
        for kind in (CTCPrefixScorer, FastCTCPrefixScorer)
    ]


def largest_difference(walks) -> float:
    """Between possible values of two walks; the same ones must be impossible."""
    differences = [0.0]
    for steps in zip(*walks):
        for ours, theirs in zip(*steps):
            possible = theirs > IMPOSSIBLE
            assert torch.equal(possible, ours > IMPOSSIBLE)
            differences += (ours - theirs)[possible].abs().tolist()
    return max(differences)
