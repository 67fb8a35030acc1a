import copy
import gc
import pickle
import threading
import weakref

import pytest
import torch
from support.decoders import memory_of, pair, stock_decoder

from espnet_adaptive_dropout.decoders.kept import Source, distinct_rows

YS = torch.tensor([[1], [2]])


@pytest.fixture
def counted():
    """A compact decoder, ESPnet's, and the rows of the sources that were projected."""
    stock, compact = pair()
    rows = []
    project = compact._project_source
    compact._project_source = lambda memory: rows.append(len(memory)) or project(memory)
    with torch.no_grad():
        yield stock, compact, rows


def steps(stock, compact, memories, mask=None, make=lambda memory: memory):
    """Score a token for every memory, and compare; ``make`` makes what is passed."""
    states = other_states = [None] * len(make(memories[0]))
    ys = torch.arange(len(states))[:, None]
    for memory in memories:
        xs = make(memory)
        options = {} if mask is None else {"xs_mask": mask}
        expected, states = stock.batch_score(ys, states, xs, **options)
        y, other_states = compact.batch_score(ys, other_states, xs, **options)
        assert (y - expected).abs().max() < 1e-4
        ys = torch.cat([ys, y.argmax(-1, keepdim=True)], dim=1)
    return other_states


def over_beam(memory):
    return memory.expand(3, *memory.shape)


def test_one_row_is_projected_for_all_hypotheses_and_steps(counted):
    memory = memory_of(9)
    steps(*counted[:2], [memory] * 4, make=over_beam)
    assert counted[2] == [1]


def test_utterances_of_a_batch_are_projected_once_each(counted):
    """As ESPnet's search does it: every utterance is copied for its hypotheses."""
    batch = memory_of(18).view(2, 9, -1)
    xs = batch.unsqueeze(1).repeat(1, 3, 1, 1).view(6, 9, -1)
    steps(*counted[:2], [xs] * 3)
    assert counted[2] == [2]


@pytest.mark.parametrize(
    "rows, distinct",
    [("aaabbb", "ab"), ("aab", "aab"), ("aaaabb", "aab"), ("aaa", "a"), ("aba", "aba")],
)
def test_distinct_rows(rows, distinct):
    values = torch.tensor([float(ord(row)) for row in rows])
    memory = values[:, None, None] * torch.ones(1, 2, 3)
    found = distinct_rows(memory)
    assert "".join(chr(int(row[0, 0])) for row in found) == distinct


def test_rows_with_nan_are_not_merged():
    assert len(distinct_rows(torch.full((4, 2, 3), float("nan")))) == 4


def test_a_longer_memory_is_projected_again(counted):
    """Streaming: the encoder output grows between the blocks."""
    memory = memory_of(20)
    blocks = [memory[:8], memory[:8], memory[:12], memory[4:12], memory]
    steps(*counted[:2], blocks, make=over_beam)
    assert counted[2] == [1, 1, 1, 1]


def test_a_memory_that_was_changed_is_projected_again(counted):
    memory = memory_of(9)
    stock, compact, rows = counted
    _, states = compact.batch_score(YS, [None] * 2, memory.expand(2, -1, -1))
    memory.mul_(0.5)
    ys = torch.cat([YS, YS], dim=1)
    y, _ = compact.batch_score(ys, states, memory.expand(2, -1, -1))
    assert rows == [1, 1]
    first, _ = compact.batch_score(YS, [None] * 2, memory.expand(2, -1, -1))
    assert not torch.allclose(first, y)


def test_storage_that_is_used_again_is_another_memory(counted):
    """Equal address, shape and version: only the reference to the storage differs."""
    _, compact, rows = counted
    addresses = set()
    for seed in range(200):
        memory = memory_of(64, seed)
        addresses.add(memory.data_ptr())
        expected, states = compact.batch_score(YS, [None] * 2, memory.expand(2, -1, -1))
        del memory
        other = memory_of(64, seed + 1000)
        ys = torch.cat([YS, YS], dim=1)
        y, _ = compact.batch_score(ys, states, other.expand(2, -1, -1))
        assert len(rows) == 2 * (seed + 1)
        del states[0].source, other
    assert len(addresses) < 200  # PyTorch did use some of them again


def test_the_source_is_freed_with_the_utterance(counted):
    """Although hypotheses are kept, as a program does that collects results."""
    _, compact, _ = counted
    encoder_output = memory_of(2 * 9).view(2, 9, -1)
    xs = encoder_output[1].expand(2, -1, -1)
    _, states = compact.batch_score(YS, [None] * 2, xs)
    source = states[0].source
    keys = weakref.ref(source.layers[0][0][0])
    assert source is states[1].source
    del xs
    assert keys() is not None
    del encoder_output
    gc.collect()
    assert keys() is None and source.layers is None


def test_the_source_is_freed_with_the_states(counted):
    _, compact, _ = counted
    memory = memory_of(9)
    _, states = compact.batch_score(YS, [None] * 2, memory.expand(2, -1, -1))
    source = weakref.ref(states[0].source)
    del states
    assert source() is None


def test_inference_mode(counted):
    stock, compact, rows = counted
    with torch.inference_mode():
        steps(stock, compact, [memory_of(9)] * 3, make=over_beam)
    assert rows == [1]


def test_interleaved_utterances(counted):
    stock, compact, rows = counted
    memories = [memory_of(9, seed) for seed in range(3)]
    states, other_states = [[[None] * 2] * 3 for _ in range(2)]
    ys = [YS] * 3
    for _ in range(3):
        for number, memory in enumerate(memories):
            xs = memory.expand(2, -1, -1)
            expected, states[number] = stock.batch_score(ys[number], states[number], xs)
            y, other_states[number] = compact.batch_score(
                ys[number], other_states[number], xs
            )
            assert (y - expected).abs().max() < 1e-4
            ys[number] = torch.cat([ys[number], y.argmax(-1, keepdim=True)], dim=1)
    assert rows == [1, 1, 1]


def test_two_models_over_one_memory():
    first, second = pair(seed=0), pair(seed=1)
    memory = memory_of(9)
    with torch.no_grad():
        for models in (first, second, first):
            steps(*models, [memory] * 2, make=over_beam)


def test_weights_changed_between_two_searches():
    """A new search projects the same memory with the new weights."""
    stock, compact = pair()
    memory = memory_of(9)
    with torch.no_grad():
        steps(stock, compact, [memory] * 2, make=over_beam)
        weights = stock_decoder(7).state_dict()
        stock.load_state_dict(weights)
        compact.load_state_dict(weights)
        steps(stock, compact, [memory] * 2, make=over_beam)


def test_threads():
    stock, compact = pair()
    # ESPnet's attention keeps its last weights, and so bears no threads.
    stocks = [copy.deepcopy(stock) for _ in range(4)]
    failures = []

    def work(seed):
        try:
            with torch.no_grad():
                for number in range(10):
                    memory = memory_of(9, seed * 100 + number)
                    steps(stocks[seed], compact, [memory] * 4, make=over_beam)
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, copy.copy, lambda s: pickle.loads(pickle.dumps(s))]
)
def test_copied_states_go_on(counted, duplicate):
    stock, compact, rows = counted
    xs = memory_of(9).expand(2, -1, -1)
    _, states = compact.batch_score(YS, [None] * 2, xs)
    ys = torch.cat([YS, YS], dim=1)
    expected, _ = compact.batch_score(ys, states, xs)
    assert rows == [1]
    y, after = compact.batch_score(ys, [duplicate(state) for state in states], xs)
    assert torch.equal(y, expected)
    assert rows == [1, 1]
    assert isinstance(after[0].source, Source)


def test_the_decoder_keeps_nothing(counted):
    _, compact, _ = counted
    del compact._project_source
    before = {name: set(vars(module)) for name, module in compact.named_modules()}
    compact.batch_score(YS, [None] * 2, memory_of(9).expand(2, -1, -1))
    assert before == {n: set(vars(module)) for n, module in compact.named_modules()}
    held = [
        value
        for module in compact.modules()
        for value in vars(module).values()
        if isinstance(value, torch.Tensor)
    ]
    assert [len(tensor) for tensor in held] == [1]  # positions, as in ESPnet


def test_a_state_of_another_prefix_is_refused(counted):
    _, compact, _ = counted
    xs = memory_of(9).expand(2, -1, -1)
    _, states = compact.batch_score(YS, [None] * 2, xs)
    with pytest.raises(ValueError, match="has 1 tokens, but its prefix has 1; it must"):
        compact.batch_score(YS, states, xs)
