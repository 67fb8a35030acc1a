"""Greedy CTC."""

from __future__ import annotations

import pytest

from benchmarks.models.score import averaged, collapse


@pytest.mark.parametrize(
    "path, tokens",
    [([], []), ([0, 0], []), ([1, 1, 0, 1, 2, 2, 0], [1, 1, 2]), ([3], [3])],
)
def test_collapse(path, tokens):
    assert collapse(path) == tokens


def test_number_of_averaged_checkpoints_is_read_from_the_real_name(tmp_path):
    real = tmp_path / "valid.loss.ave_3best.pth"
    real.touch()
    link = tmp_path / "valid.loss.ave.pth"
    link.symlink_to(real.name)
    assert averaged(link) == 3
    assert averaged(tmp_path / "compact.pth") == 0
