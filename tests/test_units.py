import pytest
import torch
from encoders import adaptive, compact_of, options_of

from espnet_adaptive_dropout.pruning.count import parameters
from espnet_adaptive_dropout.units import ranked_cut


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
        assert gone == group.cost, group


def test_total_parameters_are_those_of_the_stock_encoder(table):
    from espnet2.asr.encoder.conformer_encoder import ConformerEncoder

    stock = ConformerEncoder(**options_of("latest"))
    assert table.total_parameters == sum(p.numel() for p in stock.parameters())


def test_void_heads_lose_their_queries(table):
    keep = torch.ones(table.units, dtype=torch.bool)
    groups = {(g.block, g.location): g for g in table.groups}
    value, query = groups[(0, "value")], groups[(0, "query")]
    keep[value.start + 4 : value.start + 8] = False  # all of head 1
    closed = table.close(keep)
    assert not closed[query.start + 4 : query.start + 8].any()
    assert (~closed).sum() == 8
    assert keep[query.row].all(), "the argument is left alone"


@pytest.mark.parametrize("target", [0.05, 0.2, 0.37, 0.5])
def test_ranked_cut_is_within_one_unit_of_the_target(table, target):
    scores = torch.rand(table.units, generator=torch.Generator().manual_seed(0))
    candidates = torch.ones(table.units, dtype=torch.bool)
    keep = ranked_cut(table, scores, candidates, target)
    most = max(table.costs).item() * 5  # a unit, and a head that it makes void
    error = abs(table.removed_parameters(keep) - target * table.total_parameters)
    assert error <= most
    gone, kept = scores[~keep], scores[keep]
    queries = sum(g.units for g in table.groups if g.location == "query")
    assert (gone > kept.min()).sum() <= queries, "only queries of void heads"


def test_ranked_cut_leaves_non_candidates(table):
    candidates = torch.zeros(table.units, dtype=torch.bool)
    for group in table.groups:
        candidates[group.row] = group.location == "ffn"
    keep = ranked_cut(table, torch.zeros(table.units), candidates, 0.1)
    assert keep[~candidates].all()
    assert not keep[candidates].all()


def test_ranked_cut_refuses_more_than_there_is(table):
    candidates = torch.zeros(table.units, dtype=torch.bool)
    candidates[:3] = True
    with pytest.raises(ValueError, match="target_reduction=0.500 is more than"):
        ranked_cut(table, torch.zeros(table.units), candidates, 0.5)


def test_bounds_add_up(table):
    bounds = table.bounds()
    separate = sum(bounds[n] for n in ("ffn", "ffn_macaron", "conv_input", "value"))
    assert bounds["all"] == pytest.approx(separate), "values take their queries along"
    assert bounds["value"] > bounds["query"] > 0
