"""Random scores, locations and sizes: what must hold of every ranked cut.

A few cases in the suite, always the same; many new ones with ``--fuzz-examples N``.
"""

from __future__ import annotations

import pytest
import torch
from hypothesis import event, given
from hypothesis import strategies as st
from support import oracle
from support.encoders import SMALL, adaptive

from espnet_adaptive_dropout.units.locations import names_of
from espnet_adaptive_dropout.units.ranked_cut import TOLERANCE, even_scores, ranked_cut

HEADS = SMALL["attention_heads"]
# What a unit of the first has an effect through
THROUGH = {
    "query": "value",
    "conv_input": "conv_channel",
    "subsampling_1": "subsampling_2",
}


@pytest.fixture(scope="module", params=[(16, 2), (64, 5)], ids=["narrow", "wide"])
def encoder(request):
    width, blocks = request.param
    size = dict(output_size=width, linear_units=4 * width, num_blocks=blocks)
    return adaptive(dict(SMALL, **size, rel_pos_type="latest", macaron_style=True))


def by_group(table, units: torch.Tensor) -> oracle.Keep:
    return {(g.block, g.location): units[g.span] for g in table.groups}


def draw_scores(data, units: int) -> torch.Tensor:
    """Scores of all units, some of them with ties."""
    seed = data.draw(st.integers(0, 9999))
    scores = torch.randn(units, generator=torch.Generator().manual_seed(seed))
    kind = data.draw(st.sampled_from(["plain", "tied", "equal"]))
    return scores if kind == "plain" else (scores * (kind == "tied")).round()


def worth(groups: oracle.Keep, scores: oracle.Keep) -> oracle.Keep:
    """Scores, but of no unit more than of all that it has an effect through."""
    limited = {}
    for (block, location), units in scores.items():
        limited[block, location] = units.clone()
        if location in THROUGH:
            through = block, THROUGH[location]
            limits = scores[through].masked_fill(~groups[through], float("inf"))
            heads = HEADS if location == "query" else 1
            limits = limits.view(heads, -1).amax(dim=1, keepdim=True)
            limited[block, location] = units.view(heads, -1).minimum(limits).flatten()
    return limited


@given(st.data())
def test_every_cut(encoder, data):
    table = encoder.units
    names = data.draw(st.sets(st.sampled_from(names_of("encoder")), min_size=1))
    candidates = ~table.all_except(names)
    budget = data.draw(st.sampled_from(["encoder", "block", "location", "module"]))
    scores = draw_scores(data, table.num_units)
    cost, total = table.parameters.per_unit, table.parameters.total
    scores = even_scores(scores, candidates, table.pools(budget), table.parameters)
    bound = table.reduction(~candidates)
    target = data.draw(st.floats(0.0, bound)) if bound else 0.0
    keep = ranked_cut(table, scores, candidates, target)

    kept = by_group(table, keep)
    for seen, name in ((keep, "is not used"), (keep | ~candidates, "may not go")):
        closed = oracle.without_unused(by_group(table, seen), HEADS)
        for group, units in kept.items():
            assert torch.equal(units, closed[group]), f"a unit of {group} {name}"

    # The largest step: a unit and, if they cannot go before, those that go with it.
    step = cost[candidates].max()
    along = [name for name in THROUGH if THROUGH[name] in names - {name}]
    along = [name for name in along if name not in names]
    for group in table.groups:
        if group.location in along:
            width = group.num_units // group.heads
            step = max(step, cost[group.span].max() * width + cost[candidates].max())
    assert abs(table.removed(keep) - target * total) <= step / 2 + 1e-6

    if along or step / total > 2 * TOLERANCE:
        return
    event("fine steps")
    values = worth(by_group(table, candidates), by_group(table, scores))
    gone = [values[g][~units] for g, units in kept.items()]
    stay = [
        values[g][units & by_group(table, candidates)[g]] for g, units in kept.items()
    ]
    gone, stay = torch.cat(gone), torch.cat(stay)
    assert not len(gone) or not len(stay) or gone.max() <= stay.min()
    larger = data.draw(st.floats(target, bound))
    assert not (ranked_cut(table, scores, candidates, larger) & ~keep).any()
