import pytest
import torch
from support.encoders import adaptive, compact_of, options_of

from espnet_adaptive_dropout.experiments.sizes import parameters


@pytest.fixture
def table():
    return adaptive(options_of("latest")).units


@pytest.mark.parametrize("architecture", ["latest", "absolute", "conv1d", "legacy"])
def test_unit_costs_are_what_really_goes(architecture):
    options = options_of(architecture)
    encoder = adaptive(options)
    everything = parameters(encoder)
    for group in encoder.units.groups:
        keep = torch.ones(encoder.units.num_units, dtype=torch.bool)
        keep[group.start + 1] = False
        gone = everything - parameters(compact_of(encoder, options, keep))
        assert gone == encoder.units.parameters.per_unit[group.start + 1], group


def test_total_parameters_are_those_of_the_stock_encoder(table):
    from espnet2.asr.encoder.conformer_encoder import ConformerEncoder

    stock = ConformerEncoder(**options_of("latest"))
    assert table.parameters.total == sum(p.numel() for p in stock.parameters())


def test_void_heads_lose_their_queries(table):
    keep = torch.ones(table.num_units, dtype=torch.bool)
    groups = {(g.block, g.location): g for g in table.groups}
    value, query = groups[(0, "value")], groups[(0, "query")]
    keep[value.start + 4 : value.start + 8] = False  # all of head 1
    closed = table.without_unused(keep)
    assert not closed[query.start + 4 : query.start + 8].any()
    assert (~closed).sum() == 8
    assert keep[query.span].all(), "the argument is left alone"


def test_bounds_add_up(table):
    bounds = table.bounds()
    names = ("subsampling_2", "ffn", "ffn_macaron", "conv_channel", "value")
    separate = sum(bounds[name] for name in names)
    assert bounds["all"] == pytest.approx(separate), "three take others along"
    assert bounds["value"] > bounds["query"] > 0
    assert bounds["conv_channel"] > bounds["conv_input"] > 0


def test_inputs_and_channels_of_a_convolution_share_weights(table):
    groups = {(g.block, g.location): g for g in table.groups}
    inputs, channels = groups[(0, "conv_input")], groups[(0, "conv_channel")]
    separate = both = 0
    for rows in ([inputs], [channels], [inputs, channels]):
        keep = torch.ones(table.num_units, dtype=torch.bool)
        for group in rows:
            keep[group.start : group.start + 5] = False
        separate, both = separate + both, table.removed(keep)
    assert separate - both == 5 * 5 * 2, "two rows of the gated linear unit"


def test_a_convolution_without_channels_reads_nothing(table):
    keep = torch.ones(table.num_units, dtype=torch.bool)
    groups = {(g.block, g.location): g for g in table.groups}
    keep[groups[(1, "conv_channel")].span] = False
    assert not table.without_unused(keep)[groups[(1, "conv_input")].span].any()


@pytest.mark.parametrize(
    "budget, pools", [("encoder", 1), ("block", 3), ("location", 8), ("module", 14)]
)
def test_pools_are_whole_groups(table, budget, pools):
    numbers = table.pools(budget)
    assert len(numbers) == table.num_units
    assert numbers.unique().tolist() == list(range(pools))
    for group in table.groups:
        assert len(numbers[group.span].unique()) == 1
