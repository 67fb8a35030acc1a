"""When runs are pruned."""

from __future__ import annotations

import pytest

from benchmarks.compare.runs import PARTS, cubic_rounds, prune_part


@pytest.mark.parametrize("share, part", [(0.3, 6), (0.5, 10), (0.8, 16)])
def test_prune_points_are_checkpoints(share, part):
    assert prune_part(share) == part


@pytest.mark.parametrize("share, part", [(0.0, 1), (1.0, PARTS - 1)])
def test_prune_points_leave_training_before_and_after(share, part):
    assert prune_part(share) == part


def test_gradual_pruning_follows_the_cubic_schedule():
    rounds = cubic_rounds(0.5, rounds=5, first=0.2, last=0.7)
    assert [part for part, _ in rounds] == [6, 8, 10, 12, 14]
    shares = [share for _, share in rounds]
    assert shares[-1] == 0.5
    # by hand: 0.5 (1 - 0.8^3), 0.5 (1 - 0.6^3)
    assert shares[:2] == pytest.approx([0.244, 0.392])
    steps = [b - a for a, b in zip([0.0, *shares], shares)]
    assert steps == sorted(steps, reverse=True)
