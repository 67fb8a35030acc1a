"""Cuts to widths that are multiples of a number."""

import pytest
import torch
from hypothesis import event, given
from hypothesis import strategies as st
from support.encoders import (
    adaptive,
    batch,
    compact_of,
    difference,
    options_of,
    stock_of,
)

from espnet_adaptive_dropout.units.encoder_cost import mac_cost, zero_inputs
from espnet_adaptive_dropout.units.locations import names_of
from espnet_adaptive_dropout.units.ranked_cut import TOLERANCE, even_scores, ranked_cut
from espnet_adaptive_dropout.units.removal_order import (
    bundles,
    removal_turns,
    uneven_group,
)

# Four heads of 24: no multiple of 16
TOY = dict(output_size=96, linear_units=384, num_blocks=3)
# So large that most bundles of 8 are less than twice TOLERANCE
LARGE = dict(output_size=256, linear_units=1024, num_blocks=6)


def encoder_of(size: dict):
    return adaptive(dict(options_of("latest"), **size))


@pytest.fixture(scope="module")
def toy():
    return encoder_of(TOY)


@pytest.fixture(scope="module")
def costs(toy):
    inputs = zero_inputs(toy, toy.input_size, 200)
    return [toy.units.parameters, mac_cost(toy, toy.units.groups, inputs)]


def every_unit(table):
    return torch.ones(table.num_units, dtype=torch.bool)


def random_scores(table, seed=0, budget="encoder"):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(table.num_units, generator=generator)
    pools = table.pools(budget)
    return even_scores(scores, every_unit(table), pools, table.parameters)


def widths(table, keep, location):
    """Widths of all groups of a location, of every head, in one list."""
    return [
        width
        for group in table.groups
        if group.location == location
        for width in keep[group.span].view(group.heads, -1).sum(dim=1).tolist()
    ]


@pytest.mark.parametrize("multiple_of, allowed", [(8, {0, 8, 16, 24}), (16, {0, 16})])
def test_a_width_is_a_multiple_or_the_full_width(toy, multiple_of, allowed):
    table, seen = toy.units, set()
    for target in (0.1, 0.3, 0.54, 0.7, 0.9):
        keep = ranked_cut(
            table, random_scores(table), every_unit(table), target, None, multiple_of
        )
        for location in names_of("encoder"):
            found = set(widths(table, keep, location))
            if location in ("query", "value"):
                assert found <= allowed | {24}
                seen |= found
            else:
                assert all(width % multiple_of == 0 for width in found)
    assert seen == allowed | {24}


def test_heads_narrower_than_the_number_stay_or_go_whole(toy):
    table = toy.units
    keep = ranked_cut(table, random_scores(table), every_unit(table), 0.5, None, 32)
    assert set(widths(table, keep, "value")) == {0, 24}


def test_bundles_follow_the_rank_and_the_remainder_goes_first(toy):
    table = toy.units
    scores = random_scores(table)
    numbers = bundles(table, scores, every_unit(table), 16)
    for group in table.groups:
        for units, ranked in zip(
            numbers[group.span].view(group.heads, -1),
            scores[group.span].view(group.heads, -1),
        ):
            _, sizes = units[ranked.argsort()].unique_consecutive(return_counts=True)
            remainder = [len(units) % 16] if len(units) % 16 else []
            assert sizes.tolist() == remainder + [16] * (len(units) // 16)
    assert torch.equal(numbers.unique(), torch.arange(int(numbers.max()) + 1))


def test_units_that_may_not_go_stay(toy):
    table = toy.units
    candidates = ~table.all_except(["ffn"])
    ffn = next(group for group in table.groups if group.location == "ffn")
    candidates[ffn.start : ffn.start + 5] = False
    turns = removal_turns(table, random_scores(table), candidates, 16)
    assert (turns[~candidates] == -1).all()
    # 379 units may go, which are 23 bundles and 11 units that would fill no other.
    assert (turns[ffn.span] >= 0).sum() == 23 * 16
    keep = ranked_cut(table, random_scores(table), candidates, 0.1, None, 16)
    assert keep[~candidates].all() and uneven_group(table, keep, 16) is None


def test_a_bundle_has_the_mean_score_of_its_units(toy):
    table = toy.units
    ffn, channel = (
        next(group for group in table.groups if group.location == name)
        for name in ("ffn", "conv_channel")
    )
    scores = torch.full((table.num_units,), 100.0)
    scores[ffn.span][:8] = torch.tensor([0.0, 9, 9, 9, 9, 9, 9, 9])  # mean 7.9
    scores[channel.span][:8] = 8.0
    turns = removal_turns(table, scores, every_unit(table), 8)
    assert (turns[ffn.span][:8] == 0).all()
    assert (turns[channel.span][:8] == 1).all()


def test_queries_go_just_before_the_last_values_of_their_head(toy):
    table = toy.units
    groups = {(group.block, group.location): group for group in table.groups}
    query, value = groups[(0, "query")], groups[(0, "value")]
    scores = torch.full((table.num_units,), 100.0)
    scores[value.span][:24] = torch.arange(24.0)
    scores[query.span][:24] = 50.0
    turns = removal_turns(table, scores, every_unit(table), 8)
    assert turns[value.span][:24].view(3, 8)[:, 0].tolist() == [0, 1, 5]
    assert sorted(set(turns[query.span][:24].tolist())) == [2, 3, 4]


@pytest.mark.parametrize("multiple_of", [8, 16])
@pytest.mark.parametrize("target", [0.54, 0.7])
@pytest.mark.parametrize("budget", ["encoder", "block", "location", "module"])
def test_the_toy_encoder_is_within_a_tenth_of_a_percent(
    toy, costs, multiple_of, target, budget
):
    table = toy.units
    for cost in costs:
        scores = random_scores(table, 1, budget)
        keep = ranked_cut(table, scores, every_unit(table), target, cost, multiple_of)
        assert table.reduction(keep, cost) == pytest.approx(target, abs=0.001)
        assert uneven_group(table, keep, multiple_of) is None


@pytest.mark.parametrize("budget", ["block", "module"])
def test_the_budget_holds_as_far_as_bundles_allow(toy, budget):
    table = toy.units
    pools, cost = table.pools(budget), table.parameters.per_unit
    scores = random_scores(table, 0, budget)
    keep = ranked_cut(table, scores, every_unit(table), 0.5, None, 8)
    for pool in pools.unique():
        members = pools == pool
        share = cost[members & ~keep].sum() / cost[members].sum()
        bundle = 8 * cost[members].max() / cost[members].sum()
        assert share == pytest.approx(0.5, abs=float(bundle) + 0.15)


def test_cuts_of_a_large_encoder_are_nested():
    table = encoder_of(LARGE).units
    names = [name for name in names_of("encoder") if "subsampling" not in name]
    candidates = ~table.all_except(names)
    smaller = torch.zeros(table.num_units, dtype=torch.bool)
    for target in torch.linspace(0.7, 0.05, 12).tolist():
        keep = ranked_cut(table, random_scores(table), candidates, target, None, 8)
        assert table.reduction(keep) == pytest.approx(target, abs=0.0006)
        assert not (smaller & ~keep).any()
        smaller = keep


@given(st.data())
def test_every_cut(toy, costs, data):
    table = toy.units
    names = data.draw(st.sets(st.sampled_from(names_of("encoder")), min_size=1))
    candidates = ~table.all_except(names)
    multiple_of = data.draw(st.sampled_from([2, 3, 8, 10, 16, 25, 500]))
    budget = data.draw(st.sampled_from(["encoder", "block", "location", "module"]))
    cost = data.draw(st.sampled_from(costs))
    seed = data.draw(st.integers(0, 9999))
    scores = torch.randn(table.num_units, generator=torch.Generator().manual_seed(seed))
    scores = (scores * data.draw(st.sampled_from([0, 1, 99]))).round()
    if data.draw(st.booleans()):
        scores = even_scores(scores, candidates, table.pools(budget), cost)
    bound = table.reduction(~candidates, cost)
    sizes = data.draw(st.lists(st.floats(0.0, bound), min_size=1, max_size=3))
    larger = every_unit(table)
    for target in sorted(sizes):  # as a family of sizes is cut
        keep = ranked_cut(table, scores, candidates, target, cost, multiple_of)
        assert uneven_group(table, keep, multiple_of) is None
        assert torch.equal(table.without_unused(keep | ~candidates), keep)
        assert not (keep & ~larger).any(), "nested"
        larger = keep
        scores = scores.double().masked_fill(~keep, -float("inf"))
        if (
            names == set(names_of("encoder"))
            and multiple_of <= 16
            and target == min(sizes)
        ):
            event("all locations")
            cheapest = multiple_of * cost.per_unit.min().item() / cost.total
            miss = abs(table.reduction(keep, cost) - target)
            assert miss <= max(TOLERANCE, cheapest / 2) + 1e-9


def test_the_compact_encoder_computes_what_the_stock_encoder_does(toy):
    options, table = dict(options_of("latest"), **TOY), toy.units
    keep = ranked_cut(table, random_scores(table), every_unit(table), 0.6, None, 16)
    stock, compact = stock_of(toy, options, keep), compact_of(toy, options, keep)
    assert difference(stock, compact, *batch()) < 1e-4
