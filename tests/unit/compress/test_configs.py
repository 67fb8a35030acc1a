"""Configs of other releases and from other places."""

import pytest

from espnet_adaptive_dropout.compress.configs import (
    completed_config,
    files_of,
    find_task,
    located_paths,
)
from espnet_adaptive_dropout.experiments.experiment import load_task


@pytest.mark.parametrize(
    "name", ["asr", "s2t", "s2t_ctc", "st", "slu", "mt", "diar", "enh_s2t"]
)
def test_the_task_is_found_in_the_config(name):
    config = vars(load_task(name).get_parser().parse_args([]))
    assert find_task(config) == name


def test_missing_options_get_defaults_and_others_stay():
    config = {"encoder": "conformer", "ctc_conf": {"ctc_type": "warpctc"}, "old": 1}
    config["init"] = "chainer"
    found = completed_config(config, load_task("asr"))
    assert found["model"] == "espnet" and found["preencoder"] is None
    assert found["ctc_conf"] == {"ctc_type": "builtin"}
    assert found["encoder"] == "conformer" and found["old"] == 1
    assert found["init"] is None
    assert config["ctc_conf"] == {"ctc_type": "warpctc"}


@pytest.fixture
def root(tmp_path):
    for name in ("data/bpe/bpe.model", "exp/stats.npz", "a/b"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    return tmp_path


def test_paths_are_found_below_the_root(root):
    config = {
        "bpemodel": "data/bpe/bpe.model",
        "normalize_conf": {"stats_file": "/elsewhere/recipe/exp/stats.npz"},
        "missing": "data/none",
        "token_list": ["a/b", "c"],
        "train_data_path_and_name_and_type": [["a/b", "speech", "sound"]],
    }
    found = located_paths(config, [root / "none", root])
    assert found["bpemodel"] == str(root / "data/bpe/bpe.model")
    assert found["normalize_conf"]["stats_file"] == str(root / "exp/stats.npz")
    for name in ("missing", "token_list", "train_data_path_and_name_and_type"):
        assert found[name] == config[name]
    assert files_of(found) == [
        str(root / "data/bpe/bpe.model"),
        str(root / "exp/stats.npz"),
    ]


def test_a_file_that_is_there_stays(root):
    path = str(root / "exp/stats.npz")
    assert located_paths({"stats_file": path}, [root / "data"])["stats_file"] == path


def test_the_first_base_wins(root):
    (root / "inner" / "a").mkdir(parents=True)
    (root / "inner" / "a" / "b").write_text("")
    found = located_paths({"file": "a/b"}, [root / "inner", root])
    assert found["file"] == str(root / "inner/a/b")
