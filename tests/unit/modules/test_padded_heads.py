import pytest
import torch

from espnet_adaptive_dropout.modules.padded_heads import (
    MOST_ZEROS,
    HeadGrid,
    HeadsInOrder,
    head_groups,
)


def test_spread_fills_up_with_zeros():
    widths = [3, 1, 0, 2]
    grid = HeadGrid(widths, [0, 2, 3])
    vectors = torch.randn(2, 5, 6)
    spread = grid.spread(vectors)
    assert spread.shape == (2, 3, 5, 3)
    parts = vectors.split(widths, dim=-1)
    for row, head in enumerate([0, 2, 3]):
        assert torch.equal(spread[:, row, :, : widths[head]], parts[head])
        assert not spread[:, row, :, widths[head] :].any()


@pytest.mark.parametrize(
    "widths, groups",
    [
        ([3, 1, 0, 2], [[0, 3], [1]]),
        ([3, 1, 0, 2], [[0, 1, 3]]),
        ([1, 5, 2], [[1], [0, 2]]),
        ([2, 2], [[0, 1]]),
    ],
)
def test_units_come_back_in_order(widths, groups):
    grids = [HeadGrid(widths, group) for group in groups]
    vectors = torch.randn(2, 5, sum(widths))
    in_order = HeadsInOrder(grids, sum(widths))
    assert torch.equal(in_order([grid.spread(vectors) for grid in grids]), vectors)


def test_heads_without_queries_make_an_empty_grid():
    assert HeadGrid([0, 0], [0, 1]).spread(torch.randn(2, 5, 0)).shape == (2, 2, 5, 0)


def test_indices_are_not_saved_and_equal_heads_need_none():
    grid = HeadGrid([2, 2], [0, 1])
    assert grid.is_plain and not grid.state_dict()
    assert not HeadGrid([2, 1], [0, 1]).is_plain


def test_groups_hold_all_heads_with_values_once_and_few_zeros():
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        query = torch.randint(0, 65, (8,), generator=generator).tolist()
        value = torch.randint(0, 65, (8,), generator=generator).tolist()
        groups = head_groups(query, value)
        alive = [head for head in range(8) if value[head]]
        assert sorted(head for group in groups for head in group) == alive
        for group in groups:
            widest = max(query[h] for h in group) + max(value[h] for h in group)
            assert all(widest - query[h] - value[h] <= MOST_ZEROS for h in group)
    assert head_groups([3, 2, 0, 0], [4, 1, 0, 0]) == [[0, 1]]
    assert head_groups([60, 58, 20, 5], [60, 64, 20, 5]) == [[0, 1], [2], [3]]
    assert head_groups([4, 4], [0, 0]) == []
