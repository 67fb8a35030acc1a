"""From runs to tasks and commands."""

from __future__ import annotations

import subprocess

import pytest
import yaml
from support.benchmark_recipe import settings, write_recipe

from benchmarks.compare.commands import STEPS, TRAIN
from benchmarks.compare.corpus import prepare
from benchmarks.compare.plan import Planner, prune_points
from benchmarks.compare.rows import chosen_runs
from benchmarks.compare.runs import PARTS
from espnet_adaptive_dropout.control.config import AdaptiveDropoutConfig


@pytest.fixture
def planner(tmp_path):
    recipe = write_recipe(tmp_path / "recipe")
    corpus = prepare(recipe, "train", "dev", ["test"])
    return Planner(settings(recipe, tmp_path / "exp"), corpus, seed=2)


def command(step):
    """The command of ``benchmarks.models.steps`` that a step runs."""
    assert step.module == STEPS
    return step.args[0]


def names(planner, *patterns):
    return [task.name for task in planner.tasks(chosen_runs(patterns))]


def test_dense_training_stops_at_every_prune_point(planner):
    tasks = planner.tasks(chosen_runs(["dense"]))
    points = [*prune_points(), PARTS]
    ends = [
        int(step.args[step.args.index("--max_epoch") + 1])
        for task in tasks
        for step in task.steps
        if "--max_epoch" in step.args
    ]
    assert ends == points == [4, 6, 10, 16, 20]
    assert command(tasks[-1].steps[-1]) == "score"


def test_pruned_rows_share_the_dense_training_and_need_no_more_of_it(planner):
    shared = ["seed2/dense@4", "seed2/dense@6"]
    assert names(planner, "magnitude_30") == [*shared, "seed2/magnitude_30"]
    shared = names(planner, "magnitude", "taylor_50", "gradual")
    assert len(shared) == 4 + 5


def test_a_stock_row_differs_from_the_dense_one_in_its_option_only(planner):
    (task,) = planner.tasks(chosen_runs(["dense_no_dropout"]))
    train, score = task.steps
    assert train.module == TRAIN and command(score) == "score"
    config = yaml.safe_load((task.directory / "run.yaml").read_text())
    assert config["encoder_conf"].pop("dropout_rate") == 0.0
    planner.dense["encoder_conf"].pop("dropout_rate", None)
    assert config == planner.dense


def test_a_recut_needs_the_training_it_cuts(planner):
    assert names(planner, "ours_20") == ["seed2/dense@4", "seed2/ours", "seed2/ours_20"]
    *_, task = planner.tasks(chosen_runs(["ours_20"]))
    prune = task.steps[0].args
    source = prune[prune.index("--model_file") + 1]
    assert source == str(planner.root / "ours/train1/valid.final_loss.ave.pth")


def adaptive_dropout_conf(planner, name):
    *_, task = planner.tasks(chosen_runs([name]))
    config = yaml.safe_load((task.directory / "run.yaml").read_text())
    return AdaptiveDropoutConfig.from_dict(
        config["encoder_conf"]["adaptive_dropout_conf"]
    )


@pytest.mark.parametrize("name", ["ours", "lagrangian", "no_freeze", "only_ffn"])
def test_gated_rows_go_on_from_the_dense_checkpoint_at_the_default_start(planner, name):
    point, task = planner.tasks(chosen_runs([name]))
    assert point.name == "seed2/dense@4" and task.needs == [point.name]
    assert command(task.steps[0]) == "add_gates"
    conf, usual = adaptive_dropout_conf(planner, name), AdaptiveDropoutConfig()
    assert (conf.ramp_start, conf.ramp_end) == (usual.ramp_start, usual.ramp_end)
    assert conf.freeze_at == (1.0 if name == "no_freeze" else usual.freeze_at)


def test_a_later_start_squeezes_the_schedule(planner):
    conf = adaptive_dropout_conf(planner, "ramp_from_half")
    assert conf.ramp_start == 0.5
    assert conf.ramp_end == pytest.approx(0.5 + 0.5 * 0.1 / 0.8, abs=1e-4)
    assert conf.freeze_at == pytest.approx(0.5 + 0.5 * 0.15 / 0.8, abs=1e-4)


def test_whole_rows_train_from_the_first_step(planner):
    (task,) = planner.tasks(chosen_runs(["ours_whole"]))
    assert [step.module for step in task.steps][:1] == [TRAIN]
    assert adaptive_dropout_conf(planner, "ours_whole") == AdaptiveDropoutConfig(
        target_reduction=0.4
    )


def test_every_run_trains_for_as_many_steps(planner):
    for task in planner.tasks(chosen_runs(["main", "ablation"])):
        train = [s for s in task.steps if "--max_epoch" in s.args]
        if not train or "@" in task.name:
            continue
        assert train[-1].args[train[-1].args.index("--max_epoch") + 1] == str(PARTS)


def test_a_target_beyond_a_location_is_lowered_and_said(planner):
    tasks = planner.tasks(chosen_runs(["only_query", "without_query"]))
    options = {}
    for task in tasks:
        if "@" in task.name:
            continue
        config = yaml.safe_load((task.directory / "run.yaml").read_text())
        options[task.name] = config["encoder_conf"]["adaptive_dropout_conf"]
    bound = AdaptiveDropoutConfig.from_dict(options["seed2/only_query"])
    assert bound.target_reduction < 0.4
    assert options["seed2/without_query"]["target_reduction"] == 0.4
    (note,) = planner.notes
    assert note.startswith(f"only_query: {bound.target_reduction:.1%} of at most")


def test_a_model_without_decoder_has_no_row_that_prunes_one(planner):
    assert names(planner, "both", "ours_whole") == ["seed2/ours_whole"]
    assert planner.notes == [
        f"{row}: left out, as it needs a --dense_config with a decoder"
        for row in ("both", "both_taught", "both_taught_by_dense")
    ]


def test_gradual_pruning_cuts_the_widened_model_again(planner):
    (*_, task) = planner.tasks(chosen_runs(["gradual"]))
    kinds = [step.name.rstrip("0123456789_") for step in task.steps]
    first, again = ["prune", "carry", "train"], ["widen", "prune", "carry", "train"]
    # train<number>_<end> keeps its number
    kinds = ["train" if kind.startswith("train") else kind for kind in kinds]
    assert kinds == [*first, *4 * again, "score"]


def test_commands_are_kept_as_a_script(planner):
    planner.tasks(chosen_runs(["ours"]))
    script = planner.root / "ours" / "commands.sh"
    assert subprocess.run(["bash", "-n", str(script)]).returncode == 0
    text = script.read_text()
    assert "-m espnet2.bin.asr_train" in text
    assert "-m espnet_adaptive_dropout.bin.prune" in text
