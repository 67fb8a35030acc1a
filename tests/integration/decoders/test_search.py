"""ESPnet's searches find the same hypotheses with both decoders."""

import inspect

import pytest
import torch
from support.decoders import (
    assert_same_hypotheses,
    memory_of,
    narrow_pair,
    nets,
    pair,
    random_kept,
    search_over,
)

BatchBeamSearch = nets("batch_beam_search").BatchBeamSearch
TAKES_BATCHES = "x_lengths" in inspect.signature(BatchBeamSearch.forward).parameters


@pytest.fixture(scope="module", params=["full", "narrow"])
def decoders(request):
    return pair() if request.param == "full" else narrow_pair(random_kept(0.6))


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.no_grad():
        yield


@pytest.mark.parametrize("lm", [False, True], ids=["", "lm"])
@pytest.mark.parametrize("kind, beam", [("single", 3), ("batch", 1), ("batch", 5)])
def test_several_utterances(decoders, kind, beam, lm):
    searches = [search_over(decoder, kind, beam, lm) for decoder in decoders]
    for seed, time in enumerate((14, 9, 21)):
        stock, compact = (search(memory_of(time, seed)) for search in searches)
        assert_same_hypotheses(stock, compact)


def test_primer_and_hidden_vectors(decoders):
    # Without CTC, which older releases cannot combine with a primer.
    options = dict(ctc=False, return_hs=True, hyp_primer=[11, 3, 4])
    stock, compact = (search_over(d, **options)(memory_of(12)) for d in decoders)
    assert_same_hypotheses(stock, compact)
    for one, other in zip(stock, compact):
        assert (torch.stack(one.hs) - torch.stack(other.hs)).abs().max() < 1e-4


@pytest.mark.skipif(not TAKES_BATCHES, reason="this ESPnet decodes one by one")
@pytest.mark.parametrize("lengths", [(14, 14), (14, 9, 11)])
def test_utterances_in_one_batch(decoders, lengths):
    lengths = torch.tensor(lengths)
    batch = memory_of(len(lengths) * 14).view(len(lengths), 14, -1)
    stock, compact = (
        search_over(decoder)(batch, x_lengths=lengths) for decoder in decoders
    )
    assert len(stock) == len(lengths)
    for one, other in zip(stock, compact):
        assert_same_hypotheses(one, other)


@pytest.mark.parametrize("disable_repetition_detection", [False, True])
def test_streaming(decoders, disable_repetition_detection):
    options = dict(
        block_size=8,
        hop_size=3,
        look_ahead=2,
        disable_repetition_detection=disable_repetition_detection,
    )
    memory = memory_of(30)
    found = []
    for decoder in decoders:
        search = search_over(decoder, "online", **options)
        for start in range(0, 30, 6):
            last = search(memory[start : start + 6], is_final=start == 24)
        found.append(last)
    assert_same_hypotheses(*found)


def test_time_synchronous_search(decoders):
    kind = nets("beam_search_timesync").BeamSearchTimeSync
    weights = dict(ctc=0.3, decoder=0.7, lm=0.0, length_bonus=0.1)
    found = []
    for decoder in decoders:
        scorers = dict(decoder=decoder, ctc=search_over(decoder).scorers["ctc"].ctc)
        names = [str(token) for token in range(12)]
        search = kind(11, 3, scorers, weights, token_list=names)
        found.append(search(memory_of(10)))
    assert_same_hypotheses(*found)
