"""Checkpoints and configs that pruning refuses, each with one line."""

from __future__ import annotations

import shutil

import pytest
import torch
import yaml
from support.experiments import make_experiment

from espnet_adaptive_dropout.experiments.experiment import load_state
from espnet_adaptive_dropout.pruning.open_trained import open_trained
from espnet_adaptive_dropout.pruning.options import PruneOptions
from espnet_adaptive_dropout.pruning.prune import plan_units, rank
from espnet_adaptive_dropout.units.locations import by_default

GATE = "encoder.encoders.1.self_attn.value_gate.logits"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    directory = tmp_path_factory.mktemp("made")
    make_experiment(directory)
    return directory


@pytest.fixture
def experiment(made, tmp_path):
    for name in ("config.yaml", "valid.pth"):
        shutil.copy(made / name, tmp_path / name)
    return tmp_path


def change_config(directory, **options):
    path = directory / "config.yaml"
    config = yaml.safe_load(path.read_text())
    config["encoder_conf"]["adaptive_dropout_conf"].update(options)
    path.write_text(yaml.safe_dump(config))


def change_weights(directory, change):
    state = torch.load(directory / "valid.pth", weights_only=True)
    change(state)
    torch.save(state, directory / "valid.pth")


def open_(directory, **options):
    return open_trained(directory / "config.yaml", directory / "valid.pth", **options)


def plan(directory, **options):
    trained, options = open_(directory), PruneOptions(**options)
    return trained, *plan_units(trained, rank(trained, options), options)


def test_a_mask_of_minus_infinity_is_no_damage(tmp_path):
    mask = torch.full((3, 3), -float("inf")).triu(1)
    torch.save({"mask": mask.nan_to_num(0.0, 0.0, -float("inf"))}, tmp_path / "a.pth")
    assert torch.isinf(load_state(tmp_path / "a.pth")["mask"]).sum() == 3


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, None])
def test_other_precisions_are_converted(experiment, dtype):
    def convert(state):
        kinds = [dtype] if dtype else [torch.float16, torch.float64, torch.float32]
        for index, (key, value) in enumerate(state.items()):
            if value.is_floating_point():
                state[key] = value.to(kinds[index % len(kinds)])

    change_weights(experiment, convert)
    trained, keep, plan_ = plan(experiment)
    kinds = {value.dtype for value in trained.state.values()}
    assert kinds <= {torch.float32, torch.int64}
    assert plan_.reduction == pytest.approx(0.4, abs=0.01)


def test_a_location_of_the_config_that_is_missing(experiment):
    paper = by_default("encoder")
    change_config(experiment, locations=[*paper, "conv_channel"])
    with pytest.raises(ValueError, match="channel_gate.logits is missing"):
        open_(experiment)


def test_an_unfrozen_checkpoint_needs_insistence(experiment, caplog):
    change_weights(experiment, lambda s: s["encoder.control.frozen"].zero_())
    with pytest.raises(ValueError, match="not frozen .*insist with --allow_unfrozen"):
        open_(experiment)
    assert open_(experiment, allow_unfrozen=True).parts[0].frozen == 0.0
    assert "the training had not frozen its size yet" in caplog.text
    change_config(experiment, freeze_at=1.0)
    caplog.clear()
    assert open_(experiment).parts[0].frozen == 0.0 and not caplog.text


def test_a_config_of_another_size_than_the_frozen_units(experiment):
    change_config(experiment, target_reduction=0.3)
    with pytest.raises(ValueError, match="frozen with 4.*removed, but the config says"):
        plan(experiment)
    plan_ = plan(experiment, target_reduction=0.3)[2]
    assert plan_.reduction == pytest.approx(0.3, abs=0.01)


def test_what_was_frozen_is_what_is_cut(experiment):
    """Whatever the rule of the cut was when the training froze its units."""

    def swap(state):  # a unit that stays with one that goes, of the same cost
        logits = state["encoder.encoders.0.feed_forward.dropout.logits"]
        stays, goes = (logits > 0).nonzero()[0], (logits < 0).nonzero()[0]
        logits[goes], logits[stays] = logits[stays].clone(), logits[goes].clone()
        large = state["encoder.encoders.1.feed_forward.dropout.logits"]
        large[large > 0] = 1e-3

    change_weights(experiment, swap)
    trained, keep, plan_ = plan(experiment)
    assert torch.equal(keep, trained.own_keep())


def test_no_gpu(experiment, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="--ngpu 1: PyTorch finds no GPU"):
        open_(experiment, device="cuda")
