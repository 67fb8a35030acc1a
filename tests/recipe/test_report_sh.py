import re

import pytest
from support.experiments import make_experiment

from espnet_adaptive_dropout.bin import prune


@pytest.fixture
def trained(recipe):
    """A trained experiment and its pruned model, under the recipe's names."""
    directory = recipe / "exp" / "asr_x"
    directory.mkdir(parents=True)
    make_experiment(directory)
    prune.main(
        [
            *("--train_config", str(directory / "config.yaml")),
            *("--model_file", str(directory / "valid.pth")),
            *("--output_dir", f"{directory}_compact"),
        ]
    )
    return directory


@pytest.mark.slow
def test_the_pruned_model_is_found_by_its_name(trained, run_in):
    done = run_in("local/report.sh", "--asr_exp", "exp/asr_x")
    assert done.returncode == 0, done.stderr
    text = (trained / "report" / "report.md").read_text()
    for name in re.findall(r"\]\((.+?)\)", text):
        assert (trained / "report" / name).exists()
    assert "widths.png" in text


def test_what_is_missing_is_named(run_in):
    done = run_in("local/report.sh", "--asr_exp", "exp/asr_y")
    assert done.returncode == 1
    assert "exp/asr_y/config.yaml is missing: run stage 11 first" in done.stderr
    assert run_in("local/report.sh").returncode == 1
