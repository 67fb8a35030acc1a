"""What is added to a packed model."""

from __future__ import annotations

import pytest

from espnet_adaptive_dropout.plugin.packing import with_pruning_files


@pytest.fixture
def command(tmp_path):
    """The arguments of stage 14 for an experiment with a plan and a report."""
    (tmp_path / "config.yaml").write_text("encoder: compact_conformer\n")
    for name in ("plan.yaml", "report.md"):
        (tmp_path / name).write_text(f"# {name}\n")
    return [
        *("asr", "--asr_train_config", f"{tmp_path}/config.yaml"),
        *("--lm_train_config", "exp/lm/config.yaml"),
        *("--asr_model_file", f"{tmp_path}/valid.pth", "--outpath=x/m.zip"),
    ]


def test_card_and_pruning_files_are_added(command, tmp_path):
    added = with_pruning_files(command)[len(command) :]
    files = ("README.md", "plan.yaml", "report.md")
    expected = [word for name in files for word in ("--option", f"{tmp_path}/{name}")]
    assert added == expected
    card = (tmp_path / "README.md").read_text()
    assert "# m\n" in card and "## plan.yaml" not in card and "## report.md" in card


def test_other_command_lines_are_left_alone(command, tmp_path):
    for words in (["--help"], ["asr"], command[:-1], [*command[:2], "no/config.yaml"]):
        assert with_pruning_files(words) == words
    assert not (tmp_path / "README.md").exists()
