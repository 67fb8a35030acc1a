"""What run.sh learns from a training config."""

from __future__ import annotations

import subprocess
import sys

import pytest
from common import RecipeError
from inspect_config import inspect
from support.paths import RECIPE

SCRIPT = RECIPE / "local" / "tools" / "inspect_config.py"


def test_all_our_configs_select_what_they_report():
    for path in sorted((RECIPE / "conf").glob("train_asr_*.yaml")):
        done = subprocess.run(
            [sys.executable, str(SCRIPT), str(path)], capture_output=True, text=True
        )
        encoder, model = done.stdout.split()
        adaptive = "adaptive_dropout" in path.name
        assert encoder == ("adaptive_dropout_conformer" if adaptive else "conformer")
        assert model.startswith("valid.final_") == adaptive


def test_defaults_are_those_of_espnet():
    assert inspect({}) == ("rnn", "valid.loss.ave.pth")


@pytest.mark.parametrize("criteria", ["loss", [["valid"]], {"valid": "loss"}])
def test_odd_criteria(criteria):
    with pytest.raises(RecipeError, match="best_model_criterion"):
        inspect({"best_model_criterion": criteria})


@pytest.mark.parametrize(
    "content, said", [(None, "no such training config"), ("a: [", "while parsing")]
)
def test_bad_files_are_one_line(tmp_path, content, said):
    path = tmp_path / "c.yaml"
    if content:
        path.write_text(content)
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(path)], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
