"""Training configs of the runs."""

from __future__ import annotations

import pytest
import yaml
from support.benchmark_recipe import DENSE, settings, write_recipe

from benchmarks import ROOT
from benchmarks.compare import __main__ as compare
from benchmarks.compare import configs
from benchmarks.compare.runs import PARTS


@pytest.fixture
def mine(tmp_path):
    return settings(write_recipe(tmp_path / "recipe"), tmp_path / "exp")


def test_length_and_warm_up_are_scaled_alike(mine):
    mine.max_epoch = 8  # of 4 in the recipe's config
    config = configs.dense_config(mine, seed=3)
    assert config["max_epoch"] * config["num_iters_per_epoch"] == mine.steps == 40
    assert config["scheduler_conf"]["warmup_steps"] == 20
    assert config["seed"] == 3
    assert config["max_epoch"] == PARTS


def test_ours_differs_from_dense_in_encoder_model_and_selection_only(mine):
    dense = configs.dense_config(mine, seed=1)
    ours = configs.gated_config(dense, 0.4, {"alpha": 0.01})
    changed = {name for name in ours if ours[name] != dense.get(name)}
    assert changed == {"encoder", "encoder_conf", "model", "best_model_criterion"}
    options = ours["encoder_conf"].pop("adaptive_dropout_conf")
    assert options == dict(target_reduction=0.4, alpha=0.01)
    assert ours["encoder_conf"] == dense["encoder_conf"]
    assert configs.best_checkpoint(ours) == "valid.final_loss.ave.pth"


def test_one_target_for_both_gives_the_decoder_gates_too(mine):
    dense = configs.dense_config(mine, seed=1)
    hybrid = {**dense, "decoder": "transformer", "decoder_conf": {"num_blocks": 2}}
    ours = configs.gated_config(hybrid, 0.4, {"of": "model"})
    assert ours["decoder"] == "adaptive_dropout_transformer"
    conf = {"num_blocks": 2, "adaptive_dropout_conf": {"of": "model"}}
    assert ours["decoder_conf"] == conf
    assert hybrid["decoder_conf"] == {"num_blocks": 2}
    encoder_only = configs.gated_config(hybrid, 0.4, {})
    assert encoder_only["decoder"] == "transformer"


def test_a_decoder_counts_where_it_is_trained(mine):
    dense = configs.dense_config(mine, seed=1)
    assert not configs.has_decoder(dense)
    assert not configs.has_decoder({**dense, "decoder": "transformer"})
    hybrid = {"decoder": "transformer", "model_conf": {"ctc_weight": 0.3}}
    assert configs.has_decoder(hybrid)
    assert configs.has_decoder({"decoder": "transformer"})


def test_without_a_freeze_the_last_checkpoints_are_taken(mine):
    dense = configs.dense_config(mine, seed=1)
    config = configs.gated_config(dense, 0.4, {"freeze_at": 1.0})
    assert configs.best_checkpoint(config) == "train.total_count.ave.pth"


def test_small_dense_model_is_a_stock_one_of_the_size(mine):
    dense = configs.dense_config(mine, seed=1)
    small, line = configs.small_config(dense, 0.4)
    wanted = 0.6 * configs.encoder_parameters(dense)
    assert configs.encoder_parameters(small) == pytest.approx(wanted, rel=0.005)
    conf = small["encoder_conf"]
    assert conf["output_size"] < dense["encoder_conf"]["output_size"]
    assert conf["output_size"] % conf["attention_heads"] == 0
    assert f"output_size {conf['output_size']}" in line


def test_bounds_add_up(mine):
    dense = configs.dense_config(mine, seed=1)
    both = configs.bounds(dense, ["ffn", "conv_input"])
    alone = [configs.bounds(dense, [name]) for name in ("ffn", "conv_input")]
    assert both == pytest.approx(sum(alone))


def test_a_run_made_with_another_config_is_not_gone_on_with(tmp_path):
    path = tmp_path / "run" / "run.yaml"
    configs.write_config(path, {"seed": 1})
    configs.write_config(path, {"seed": 1})
    with pytest.raises(ValueError, match="made with another config; remove"):
        configs.write_config(path, {"seed": 2})


def test_only_a_stock_conformer_is_dense(mine):
    path = mine.recipe_dir / DENSE
    path.write_text(yaml.safe_dump({"encoder": "branchformer"}))
    with pytest.raises(ValueError, match="must have 'encoder: conformer'"):
        configs.dense_config(mine, seed=1)
    path.unlink()
    with pytest.raises(ValueError, match="--dense_config .*dense.yaml: No such file"):
        configs.dense_config(mine, seed=1)


def test_the_comparison_trains_as_the_recipe_does():
    parser = compare.get_parser()
    recipe = parser.get_default("recipe_dir")
    dense = yaml.safe_load((recipe / parser.get_default("dense_config")).read_text())
    assert parser.get_default("max_epoch") == dense["max_epoch"]


def test_the_config_for_little_data_has_the_model_of_the_recipe():
    parser = compare.get_parser()
    recipe = parser.get_default("recipe_dir") / parser.get_default("dense_config")
    theirs = yaml.safe_load(recipe.read_text())
    scarce = ROOT / "benchmarks/conf/train_asr_conformer_toy_scarce.yaml"
    mine = yaml.safe_load(scarce.read_text())
    assert mine["frontend_conf"] == theirs["frontend_conf"]
    changed = {
        name
        for name, value in mine["encoder_conf"].items()
        if value != theirs["encoder_conf"][name]
    }
    assert changed == {"positional_dropout_rate", "attention_dropout_rate"}


def test_all_rows_have_the_same_whole_number_of_steps(tmp_path):
    mine = settings(tmp_path, tmp_path, max_epoch=5, batches=279)
    assert mine.steps == PARTS * mine.steps_per_part == 1400


def test_a_directory_keeps_its_settings(tmp_path):
    settings(tmp_path, tmp_path / "exp").keep()
    settings(tmp_path, tmp_path / "exp").keep()
    with pytest.raises(ValueError, match="target=0.4, not 0.3"):
        settings(tmp_path, tmp_path / "exp", target=0.3).keep()
