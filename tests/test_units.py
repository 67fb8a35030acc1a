import pytest
import torch
from encoders import adaptive, compact_of, options_of

from espnet_adaptive_dropout.pruning.count import parameters


@pytest.fixture
def table():
    return adaptive(options_of("latest")).units


@pytest.mark.parametrize("architecture", ["latest", "absolute", "conv1d", "legacy"])
def test_unit_costs_are_what_really_goes(architecture):
    options = options_of(architecture)
    encoder = adaptive(options)
    everything = parameters(encoder)
    for group in encoder.units.groups:
        keep = torch.ones(encoder.units.units, dtype=torch.bool)
        keep[group.start + 1] = False
        gone = everything - parameters(compact_of(encoder, options, keep))
        assert gone == encoder.units.parameters.per_unit[group.start + 1], group


def test_total_parameters_are_those_of_the_stock_encoder(table):
    from espnet2.asr.encoder.conformer_encoder import ConformerEncoder

    stock = ConformerEncoder(**options_of("latest"))
    assert table.parameters.total == sum(p.numel() for p in stock.parameters())


def test_void_heads_lose_their_queries(table):
    keep = torch.ones(table.units, dtype=torch.bool)
    groups = {(g.block, g.location): g for g in table.groups}
    value, query = groups[(0, "value")], groups[(0, "query")]
    keep[value.start + 4 : value.start + 8] = False  # all of head 1
    closed = table.close(keep)
    assert not closed[query.start + 4 : query.start + 8].any()
    assert (~closed).sum() == 8
    assert keep[query.row].all(), "the argument is left alone"


def test_bounds_add_up(table):
    bounds = table.bounds()
    separate = sum(bounds[n] for n in ("ffn", "ffn_macaron", "conv_input", "value"))
    assert bounds["all"] == pytest.approx(separate), "values take their queries along"
    assert bounds["value"] > bounds["query"] > 0


@pytest.mark.parametrize(
    "budget, pools", [("encoder", 1), ("block", 2), ("module", 10)]
)
def test_pools_are_whole_groups(table, budget, pools):
    numbers = table.pools(budget)
    assert len(numbers) == table.units
    assert numbers.unique().tolist() == list(range(pools))
    for group in table.groups:
        assert len(numbers[group.row].unique()) == 1
