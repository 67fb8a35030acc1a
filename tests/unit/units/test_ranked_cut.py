import itertools

import pytest
import torch
from support.encoders import adaptive, options_of

from espnet_adaptive_dropout.units.locations import by_default, names_of
from espnet_adaptive_dropout.units.ranked_cut import even_scores, ranked_cut
from espnet_adaptive_dropout.units.removal_order import removal_turns


@pytest.fixture
def table():
    return adaptive(options_of("latest")).units


@pytest.mark.parametrize("target", [0.05, 0.2, 0.37, 0.5])
def test_ranked_cut_is_within_one_unit_of_the_target(table, target):
    scores = torch.rand(table.num_units, generator=torch.Generator().manual_seed(0))
    candidates = torch.ones(table.num_units, dtype=torch.bool)
    keep = ranked_cut(table, scores, candidates, target)
    error = abs(table.removed(keep) - target * table.parameters.total)
    assert error <= max(table.parameters.per_unit)
    gone, kept = scores[~keep], scores[keep]
    queries = sum(g.num_units for g in table.groups if g.location == "query")
    assert (gone > kept.min()).sum() <= queries, "only queries of void heads"


def test_ranked_cut_leaves_non_candidates(table):
    candidates = torch.zeros(table.num_units, dtype=torch.bool)
    for group in table.groups:
        candidates[group.span] = group.location == "ffn"
    keep = ranked_cut(table, torch.zeros(table.num_units), candidates, 0.1)
    assert keep[~candidates].all()
    assert not keep[candidates].all()


def test_ranked_cut_refuses_more_than_there_is(table):
    candidates = torch.zeros(table.num_units, dtype=torch.bool)
    candidates[:3] = True
    with pytest.raises(ValueError, match="target_reduction=0.500 is more than"):
        ranked_cut(table, torch.zeros(table.num_units), candidates, 0.5)


def test_queries_go_just_before_the_last_value_unit_of_their_head(table):
    scores = torch.full((table.num_units,), 100.0)
    groups = {(g.block, g.location): g for g in table.groups}
    query, value = groups[(0, "query")], groups[(0, "value")]
    scores[value.span][:4] = torch.arange(4.0)
    scores[query.span][:4] = torch.tensor([200.0, 50.0, 300.0, 1.0])
    candidates = torch.ones(table.num_units, dtype=torch.bool)
    order = removal_turns(table, scores, candidates).argsort()
    first = [value.start, query.start + 3, value.start + 1, value.start + 2]
    rest = [query.start + unit for unit in (1, 0, 2)] + [value.start + 3]
    # The query of score 1 goes after the value unit that comes before it by score.
    assert sorted(order[:4].tolist()) == sorted(first)
    assert order[4:8].tolist() == rest


def test_equal_scores_leave_the_order_of_the_units(table):
    candidates = torch.ones(table.num_units, dtype=torch.bool)
    turns = removal_turns(table, torch.zeros(table.num_units), candidates)
    order = turns.argsort().tolist()
    last = {
        base.start + (head + 1) * base.num_units // base.heads - 1
        for _, base in table.dependent_groups()
        for head in range(base.heads)
    }
    others = [unit for unit in range(table.num_units) if unit not in last]
    assert order == [*others, *sorted(last)]


@pytest.mark.parametrize("seed", range(3))
def test_cuts_to_growing_targets_are_nested(wide_table, seed):
    table = wide_table
    candidates = ~table.all_except(PAPER)
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(table.num_units, generator=generator)
    smaller = torch.zeros(table.num_units, dtype=torch.bool)
    for target in torch.linspace(0.7, 0.05, 25).tolist():
        keep = ranked_cut(table, scores, candidates, target)
        assert table.reduction(keep) == pytest.approx(target, abs=0.0005)
        assert not (smaller & ~keep).any()
        smaller = keep


@pytest.mark.parametrize("target", [0.1, 0.399, 0.5])
def test_units_of_score_minus_infinity_go_whatever_the_target(wide_table, target):
    """A smaller model of a family lacks them, see ``SizeControl``."""
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(wide_table.num_units, generator=generator)
    candidates = torch.ones(wide_table.num_units, dtype=torch.bool)
    gone = ~ranked_cut(wide_table, scores, candidates, 0.4)
    scores[gone] = -float("inf")
    keep = ranked_cut(wide_table, scores, candidates, target)
    assert not keep[gone].any()
    assert wide_table.reduction(keep) == pytest.approx(max(0.4, target), abs=0.0005)


@pytest.mark.parametrize("names", [["ffn", "value"], ["value"], names_of("encoder")])
def test_gates_alone_give_the_size_of_the_cut(wide_table, names):
    """Units without a gate go only with what they depend on."""
    table = wide_table
    candidates = ~table.all_except(names)
    scores = torch.randn(table.num_units, generator=torch.Generator().manual_seed(0))
    bound = table.reduction(~candidates)
    for share in (0.2, 0.4, 0.5, 0.6, 0.8, 0.95):
        keep = ranked_cut(table, scores, candidates, share * bound)
        assert torch.equal(table.without_unused(keep | ~candidates), keep)
        assert table.reduction(keep) == pytest.approx(share * bound, abs=0.006)


def test_a_head_too_large_to_go_stays_and_others_make_up_the_size(table):
    # Without gates on the queries, the last value unit takes all of its head along.
    scores = torch.full((table.num_units,), 100.0)
    groups = {(g.block, g.location): g for g in table.groups}
    value, ffn = groups[(0, "value")], groups[(0, "ffn")]
    scores[value.span][:4] = torch.arange(4.0)
    scores[ffn.span] = 10.0 + torch.arange(ffn.num_units)
    costs = table.parameters.per_unit
    target = float(3 * costs[value.start] + costs[ffn.start]) / table.parameters.total
    keep = ranked_cut(table, scores, ~table.all_except(["ffn", "value"]), target)
    assert keep[value.start + 3]
    assert not keep[value.start : value.start + 3].any()
    assert (~keep[ffn.span]).sum() == 1


PAPER = by_default("encoder")

# Larger sets are drawn in test_random_cuts.py.
SUBSETS = [
    names
    for size in (1, 2, 3)
    for names in itertools.combinations(names_of("encoder"), size)
]


@pytest.fixture(scope="module")
def wide_table():
    """So large that a unit is less than 0.1 points."""
    options = dict(options_of("latest"), output_size=64, linear_units=256)
    return adaptive(options).units


@pytest.mark.parametrize("target", [0.2, 0.54])
def test_every_subset_that_can_reach_a_size_reaches_it(wide_table, target):
    table = wide_table
    scores = torch.rand(table.num_units, generator=torch.Generator().manual_seed(1))
    reached = 0
    for names in SUBSETS:
        candidates = ~table.all_except(names)
        if target > table.bounds(names)["all"]:
            with pytest.raises(ValueError, match="more than these locations"):
                ranked_cut(table, scores, candidates, target)
            continue
        keep = ranked_cut(table, scores, candidates, target)
        assert table.reduction(keep) == pytest.approx(target, abs=0.0015), names
        reached += 1
    assert 0 < reached < len(SUBSETS)


@pytest.mark.parametrize("budget", ["block", "module"])
def test_even_scores_take_the_same_share_of_every_pool(wide_table, budget):
    table = wide_table
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(table.num_units, generator=generator)
    scores += torch.arange(table.num_units) / 100  # later units seem to matter more
    candidates = torch.ones(table.num_units, dtype=torch.bool)
    pools, cost = table.pools(budget), table.parameters
    even = even_scores(scores, candidates, pools, cost)
    keep = ranked_cut(table, even, candidates, 0.4)
    assert table.reduction(keep) == pytest.approx(0.4, abs=0.001)
    shares = []
    for pool in pools.unique():
        members = pools == pool
        shares.append(
            cost.per_unit[members & ~keep].sum() / cost.per_unit[members].sum()
        )
        assert scores[members & ~keep].max() < scores[members & keep].min()
    assert max(shares) - min(shares) < 0.06
