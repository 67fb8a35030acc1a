"""The model card goes where ESPnet's asr.sh has uploaded a model."""

from __future__ import annotations

import subprocess

import pytest

IDENTITY = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "me"), ("EMAIL", "me@localhost"))
}
OPTIONS = ("--asr_exp", "exp/x", "--packed_model", "exp/x/x.zip", "--hf_repo", "me/it")


def git(directory, *words: str, **options) -> str:
    return subprocess.run(
        ["git", "-C", str(directory), *words],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        **options,
    ).stdout


@pytest.fixture
def hub(tmp_path, recipe, recipe_env):
    """A repository, with a clone of it as asr.sh leaves it."""
    recipe_env.update(IDENTITY, GIT_CONFIG_GLOBAL="/dev/null")
    root = tmp_path / "hub"
    root.mkdir()
    git(root, "init", "--quiet", "--bare")
    clone = recipe / "exp/hf_me_it"
    git(tmp_path, "clone", "--quiet", str(root), str(clone), stderr=subprocess.DEVNULL)
    (clone / "README.md").write_text("what ESPnet says\n")
    git(clone, "add", ".")
    git(clone, "commit", "--quiet", "-m", "Update model", env=recipe_env)
    git(clone, "push", "--quiet")
    (recipe / "exp/x").mkdir()
    (recipe / "exp/x/config.yaml").write_text("encoder: compact_conformer\n")
    return root


def test_the_card_takes_the_place_of_espnets_description(hub, run_in):
    for _ in range(2):  # there is nothing to do the second time
        done = run_in("local/complete_upload.sh", *OPTIONS)
        assert done.returncode == 0, done.stderr
    text = git(hub, "show", "HEAD:README.md")
    assert "pip install espnet-adaptive-dropout" in text
    assert 'from_pretrained("me/it")' in text
    assert "what ESPnet says" not in text
    assert git(hub, "rev-list", "--count", "HEAD").strip() == "2"


def test_stage_15_comes_first(run_in):
    done = run_in("local/complete_upload.sh", *OPTIONS)
    assert done.returncode == 1
    assert "exp/hf_me_it/README.md is missing: run stage 15 first" in done.stderr
    assert done.stderr.count("\n") == 1
