"""What the tests of the pruning commands share."""

from __future__ import annotations

import pytest
from support.experiments import make_experiment


@pytest.fixture
def experiment(tmp_path):
    """A trained experiment, alone in the directory above it."""
    make_experiment(tmp_path / "exp")
    return tmp_path / "exp"
