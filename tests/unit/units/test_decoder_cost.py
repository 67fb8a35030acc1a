"""Parameters and multiply-accumulates of a decoder, counted and by formula."""

import pytest
import torch
from support.decoders import (
    SIZE,
    adaptive_decoder,
    compact_decoder,
    keep_of,
    memory_of,
    random_kept,
    stock_decoder,
)

from espnet_adaptive_dropout.modules.mac_counter import operator_counter
from espnet_adaptive_dropout.units.decoder_cost import SearchLength, decoder_mac_cost
from espnet_adaptive_dropout.units.surgery import cut_weights
from espnet_adaptive_dropout.units.table import UnitTable

LENGTH = SearchLength(frames=44, tokens=6, beam=3)


@torch.no_grad()
def counted_search(decoder):
    """Multiply-accumulates of a search over a source of eleven frames."""
    for layer in decoder.decoders:
        # The counter does not know the fused attention of a CPU.
        layer.self_attn.training = layer.src_attn.training = True
    memory = memory_of(LENGTH.source).expand(LENGTH.beam, -1, -1)
    hypotheses = torch.arange(LENGTH.beam * LENGTH.tokens) % 12
    hypotheses = hypotheses.view(LENGTH.beam, LENGTH.tokens)
    states = [None] * LENGTH.beam
    with operator_counter(decoder) as counter:
        for known in range(1, LENGTH.tokens + 1):
            ys = hypotheses[:, :known]
            _, states = decoder.batch_score(ys, states, memory)
    return counter.get_total_flops() // 2


def test_total_is_that_of_a_search_at_full_width():
    stock = stock_decoder()
    cost = decoder_mac_cost(stock, UnitTable(stock).groups, LENGTH)
    assert cost.total == counted_search(compact_decoder(stock))


@pytest.mark.parametrize("seed", range(4))
def test_cost_of_removed_units_is_what_a_search_saves(seed):
    # One width for all heads: the padding of unequal ones is not counted
    kept = random_kept(0.5, seed)
    for layer in kept:
        for name in ("self_query", "self_value", "source_query", "source_value"):
            width = 1 + seed % (SIZE // 4)
            layer[name] = [list(range(width)) for _ in layer[name]]
    adaptive = adaptive_decoder(stock_decoder())
    table, keep = adaptive.units, keep_of(kept)
    compact = adaptive.compact(keep).eval()
    state = {n: v for n, v in adaptive.state_dict().items() if "control" not in n}
    state = {n: v for n, v in state.items() if not n.endswith("logits")}
    compact.load_state_dict(cut_weights(state, table, keep, ""))
    cost = decoder_mac_cost(adaptive, table.groups, LENGTH)
    left = cost.total - cost.removed(~keep).item()
    assert left == counted_search(compact)


def test_longer_searches_cost_more():
    stock = stock_decoder()
    groups = UnitTable(stock).groups
    costs = [
        decoder_mac_cost(stock, groups, SearchLength(*length)).total
        for length in ((400, 10, 1), (800, 10, 1), (800, 20, 1), (800, 20, 5))
    ]
    assert costs == sorted(costs) and len(set(costs)) == 4
