"""Pruning to widths that are multiples of a number."""

import json

import pytest
import torch
import yaml
from support.experiments import make_experiment

from espnet_adaptive_dropout.bin import prune, sweep
from espnet_adaptive_dropout.pruning.open_trained import open_trained
from espnet_adaptive_dropout.pruning.options import PruneOptions
from espnet_adaptive_dropout.pruning.prune import plan_units, rank
from espnet_adaptive_dropout.units.removal_order import uneven_group
from espnet_adaptive_dropout.units.widths import parse_indices

# A head is 4 wide, the feed-forward modules 24, the convolution module 16
ALL = dict(locations="all")


def made(directory, **conf):
    directory.mkdir()
    make_experiment(directory, **conf)
    return directory


def options(directory, output, *extra):
    return [
        *("--train_config", str(directory / "config.yaml")),
        *("--model_file", str(directory / "valid.pth")),
        *("--output_dir", str(output)),
        *extra,
    ]


def planned(directory, allow_unfrozen=False, **given):
    trained = open_trained(
        directory / "config.yaml",
        directory / "valid.pth",
        allow_unfrozen=allow_unfrozen,
    )
    given = PruneOptions(**given)
    return trained, *plan_units(trained, rank(trained, given), given)


def check_widths(directory, multiple_of, **full):
    """Widths in the config of a compact experiment: multiples, or the full width."""
    conf = yaml.safe_load((directory / "config.yaml").read_text())["encoder_conf"]
    for block in conf["widths"]:
        for location, width in block.items():
            if location == "conv_input":
                width = len(parse_indices(width))
            for number in width if isinstance(width, list) else [width]:
                assert number % multiple_of == 0 or number == full.get(location)
    assert all(width % multiple_of == 0 for width in conf.get("subsampling", []))


def report_of(directory):
    return json.loads((directory / "report.json").read_text())


def test_the_number_of_the_training_holds(tmp_path):
    experiment = made(tmp_path / "exp", multiple_of=4, **ALL)
    prune.main(options(experiment, tmp_path / "out"))
    check_widths(tmp_path / "out", 4)
    report = report_of(tmp_path / "out")
    assert report["certificate"]["holds"]
    assert report["reduction"] == pytest.approx(0.4, abs=0.01)
    trained, keep, _ = planned(experiment)
    assert torch.equal(keep, trained.own_keep())
    assert uneven_group(trained.table, keep, 4) is None
    # Other sizes, and an order that the training has not learnt, have it too.
    other = ("--target_reduction", "0.5", "--criterion", "magnitude")
    prune.main(options(experiment, tmp_path / "out", *other))
    check_widths(tmp_path / "out", 4)


def test_another_number_than_that_of_the_training(tmp_path):
    experiment = made(tmp_path / "exp", multiple_of=4, **ALL)
    prune.main(options(experiment, tmp_path / "out", "--multiple_of", "8"))
    check_widths(tmp_path / "out", 8, query=4, value=4)
    report = report_of(tmp_path / "out")
    assert report["certificate"]["holds"]
    assert report["reduction"] == pytest.approx(0.4, abs=0.02)
    trained, keep, plan = planned(experiment, multiple_of=1, target_reduction=0.5)
    assert uneven_group(trained.table, keep, 4) is not None
    assert plan.reduction == pytest.approx(0.5, abs=0.005)


@pytest.mark.parametrize("cost", ["parameters", "macs"])
def test_a_checkpoint_without_gates(tmp_path, cost):
    experiment = made(tmp_path / "exp", encoder="conformer")
    more = ("--criterion", "random", "--target_reduction", "0.3", "--cost", cost)
    more += ("--multiple_of", "4")
    prune.main(options(experiment, tmp_path / "out", *more))
    check_widths(tmp_path / "out", 4)
    assert report_of(tmp_path / "out")["certificate"]["holds"]


def test_a_dry_run_and_a_sweep(tmp_path, capsys):
    experiment = made(tmp_path / "exp", **ALL)
    prune.main(options(experiment, tmp_path, "--multiple_of", "8", "--dry_run"))
    whole = capsys.readouterr().out
    for line in whole.split("\n\n")[0].splitlines():
        if " ffn: " in line:
            gone = int(line.split(":")[1].split()[0])
            assert gone % 8 == 0
    targets = ("--target_reduction", "0.3", "0.5", "--skip_validation")
    directory = tmp_path / "sweep"
    sweep.main(options(experiment, directory, *targets, "--multiple_of", "4"))
    for name in ("r30", "r50"):
        check_widths(directory / name, 4)


def test_without_a_target_the_size_is_about_that_of_the_gates(tmp_path):
    experiment = made(tmp_path / "exp", control="schedule", **ALL)
    trained, keep, plan = planned(experiment)
    assert torch.equal(keep, trained.own_keep())
    _, multiples, rounded = planned(experiment, multiple_of=4)
    assert uneven_group(trained.table, multiples, 4) is None
    assert rounded.reduction == pytest.approx(plan.reduction, abs=0.01)
    assert rounded.target_reduction is None


def test_a_number_that_was_changed_after_the_training(tmp_path):
    experiment = made(tmp_path / "exp", **ALL)
    path = experiment / "config.yaml"
    config = yaml.safe_load(path.read_text())
    config["encoder_conf"]["adaptive_dropout_conf"]["multiple_of"] = 4
    path.write_text(yaml.safe_dump(config))
    with pytest.raises(ValueError, match="no multiples of 4, .*multiple_of=4: was it"):
        planned(experiment)
    assert planned(experiment, target_reduction=0.4)[2].reduction


def test_a_size_that_coarse_bundles_miss_is_no_damage(tmp_path):
    """Half of the channels of a convolution of the input layer, or none."""
    conf = dict(locations=["subsampling"], multiple_of=8, target_reduction=0.055)
    experiment = made(tmp_path / "exp", **conf)
    trained, keep, plan = planned(experiment)
    assert plan.reduction == pytest.approx(0.1055, abs=0.0001)
    assert uneven_group(trained.table, keep, 8) is None
