"""What the tests of the command share."""

from __future__ import annotations

import shutil

import pytest
from support.packed_models import make_recipe, pack


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """A recipe with a stock CTC model and its zip, which tests copy or only read."""
    root = tmp_path_factory.mktemp("models")
    experiment = make_recipe(root / "recipe")
    return experiment, pack(experiment)


@pytest.fixture
def experiment(models, tmp_path):
    """The experiment directory of a recipe of its own."""
    shutil.copytree(models[0].parents[1], tmp_path / "recipe")
    return tmp_path / "recipe" / "exp" / "asr"


@pytest.fixture
def packed(models):
    """The packed model."""
    return models[1]
