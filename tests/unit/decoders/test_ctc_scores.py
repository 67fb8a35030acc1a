"""Our CTC prefix scores are ESPnet's, and those of all paths."""

import itertools

import pytest
import torch
from support.ctc import (
    EOS,
    HAS_WINDOW,
    IMPOSSIBLE,
    IS_NEW,
    both_walks,
    draws,
    largest_difference,
    log_probabilities,
    scorer,
    walk,
)

from espnet_adaptive_dropout.compat import CTCPrefixScorer
from espnet_adaptive_dropout.decoders.fast_ctc import FastCTCPrefixScorer

# For 30 frames; ESPnet adds up in the precision of the model.
TOLERANCES = {torch.float64: 1e-11, torch.float32: 1e-4}
new_only = pytest.mark.skipif(not IS_NEW, reason="this ESPnet decodes one by one")
with_window = pytest.mark.skipif(not HAS_WINDOW, reason="this ESPnet has no window")


@pytest.fixture(params=TOLERANCES, ids=str)
def dtype(request):
    return request.param


@pytest.mark.parametrize("beam", [1, 4])
@pytest.mark.parametrize("scores_all", [False, True], ids=["pre-beam", "all"])
@pytest.mark.parametrize("one_by_one", [False, True])
def test_one_utterance(dtype, beam, scores_all, one_by_one):
    walks = both_walks(
        log_probabilities(dtype=dtype),
        beam=beam,
        scores_all=scores_all,
        one_by_one=one_by_one,
    )
    assert largest_difference(walks) < TOLERANCES[dtype]


@new_only
@pytest.mark.parametrize("scores_all", [False, True], ids=["pre-beam", "all"])
@pytest.mark.parametrize(
    "margin", [0, pytest.param(5, marks=with_window)], ids=["", "window"]
)
def test_several_utterances_of_different_lengths(dtype, margin, scores_all):
    lengths = (30, 21, 8)
    x = log_probabilities(3, dtype=dtype)
    walks = both_walks(x, lengths, margin=margin, scores_all=scores_all)
    assert largest_difference(walks) < TOLERANCES[dtype]


@with_window
@pytest.mark.parametrize("scores_all", [False, True], ids=["pre-beam", "all"])
def test_window_that_moves(dtype, scores_all):
    x = log_probabilities(time=120, dtype=dtype)
    walks = both_walks(x, margin=6, steps=30, scores_all=scores_all)
    assert largest_difference(walks) < 5 * TOLERANCES[dtype]


@pytest.mark.parametrize("margin", [0, pytest.param(100, marks=with_window)])
def test_long_utterance_loses_no_precision(margin):
    """In float32 we are nearer to the exact scores than ESPnet is."""
    x = log_probabilities(time=1500, vocabulary=40)
    exact, ours_exact = both_walks(x, margin=margin, steps=25)
    assert largest_difference([exact, ours_exact]) < 1e-9
    stock, ours = both_walks(x.float(), margin=margin, steps=25)
    assert largest_difference([ours, exact]) < largest_difference([stock, exact])


def test_very_unlikely_labels():
    """Probabilities whose product is below the numbers of float64."""
    x = log_probabilities()
    x[:, ::2, 3:] -= 2000.0
    x[:, 1::2, :3] -= 2000.0
    for scores_all in (False, True):
        walks = both_walks(x, scores_all=scores_all)
        assert largest_difference(walks) < 1e-8


def test_labels_that_are_ruled_out():
    x = log_probabilities()
    x[:, :, 5] = -float("inf")
    x[:, 10, 6] = -float("inf")
    plan = [(None, taken + (taken == 5)) for _, taken in draws(12, 3, 5)]
    stock, ours = (
        walk(scorer(kind, x), x, 1, 3, plan, scores_all=True)
        for kind in (CTCPrefixScorer, FastCTCPrefixScorer)
    )
    for (theirs, _), (scores, r) in zip(stock, ours):
        assert (scores[:, 5] < IMPOSSIBLE).all() and (theirs[:, 5] < IMPOSSIBLE).all()
        possible = theirs > IMPOSSIBLE
        assert (scores - theirs)[possible].abs().max() < 1e-5
        assert not r.isnan().any()


@pytest.mark.parametrize("time", [1, 2, 4])
@pytest.mark.parametrize("scores_all", [False, True], ids=["pre-beam", "all"])
def test_more_labels_than_frames(dtype, time, scores_all):
    x = log_probabilities(time=time, dtype=dtype)
    steps = time + 3 if IS_NEW else time  # where older releases fail
    walks = both_walks(x, steps=steps, scores_all=scores_all)
    assert largest_difference(walks) < TOLERANCES[dtype]
    plan = draws(time + 3, 3, 5)
    ours = walk(scorer(FastCTCPrefixScorer, x), x, 1, 3, plan, scores_all)
    assert (ours[-1][1] < IMPOSSIBLE).all()
    assert not any(part.isnan().any() for step in ours for part in step)


def test_scores_are_sums_over_all_paths():
    time, vocabulary = 5, 4
    end = vocabulary - 1
    x = log_probabilities(time=time, vocabulary=vocabulary, seed=3)
    sums = {}
    for path in itertools.product(range(vocabulary), repeat=time):
        merged = [label for label, _ in itertools.groupby(path)]
        text = tuple(label for label in merged if label)
        chance = x[0, range(time), path].sum().exp()
        for length in range(len(text) + 1):
            key = text[:length]
            sums[key] = sums.get(key, 0.0) + chance
        sums[text, "ended"] = sums.get((text, "ended"), 0.0) + chance
    one = scorer(FastCTCPrefixScorer, x)
    for text in [(1,), (2, 2), (1, 2, 1)]:
        y, state, total = torch.tensor([[end]]), [None], 0.0
        for label in text:
            ids = torch.tensor([[1, 2]])
            scores, found = one.batch_score_partial(y, ids, state, x)
            total += scores[0, label]
            state = [one.select_state(found, 0, label)]
            y = torch.cat([y, torch.tensor([[label]])], dim=1)
        assert total.exp() == pytest.approx(float(sums[text]), rel=1e-9)
        scores, _ = one.batch_score_partial(y, ids, state, x)
        ended = (total + scores[0, end]).exp()
        assert ended == pytest.approx(float(sums[text, "ended"]), rel=1e-9)


def test_more_frames_arrive(dtype):
    """As in a streaming search: after some labels, with the states so far."""
    x = log_probabilities(time=40, dtype=dtype)
    plan = list(draws(8, 3, 5))
    walks = []
    for kind in (CTCPrefixScorer, FastCTCPrefixScorer):
        one = scorer(kind, x[:, :25])
        y, states, found = torch.full((3, 1), EOS), [None] * 3, []
        for step, (ids, taken) in enumerate(plan):
            if step == 4:
                one.extend_prob(x[0])
                states = one.extend_state(states)
            all_ids = None if step % 2 else ids
            scores, candidates = one.batch_score_partial(y, all_ids, states, x)
            states = [one.select_state(candidates, i, int(taken[i])) for i in range(3)]
            y = torch.cat([y, taken.unsqueeze(1)], dim=1)
            found.append((scores, torch.stack([state[0] for state in states], 2)))
        walks.append(found)
    assert largest_difference(walks) < TOLERANCES[dtype]


def test_utterances_do_not_mix():
    first, second = log_probabilities(seed=1), log_probabilities(time=17, seed=2)
    plan = list(draws(6, 3, 5))
    one = scorer(FastCTCPrefixScorer, first)
    alone = walk(one, first, 1, 3, plan, scores_all=True)
    one.batch_init_state(second[0])
    walk(one, second, 1, 3, plan, scores_all=True)
    one.batch_init_state(first[0])
    again = walk(one, first, 1, 3, plan, scores_all=True)
    for (scores, r), (other_scores, other_r) in zip(alone, again):
        assert torch.equal(scores, other_scores) and torch.equal(r, other_r)
