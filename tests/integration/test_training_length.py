"""Trainings of ESPnet's ASR task: their length, interruptions and initial weights."""

import sys

import pytest
import torch
from espnet2.bin import asr_train
from espnet2.train.trainer import Trainer
from support.tiny_training import (
    TEXTS,
    command,
    complete,
    completed_conf,
    model_before_training,
    split_data,
)

from espnet_adaptive_dropout.plugin import runner

BATCHES = {
    "unsorted": dict(batch_size=2),
    "sorted": dict(batch_size=4),
    "folded": dict(batch_size=4, fold_length=[6000, 3]),
    "numel": dict(batch_bins=20000),
    "length": dict(batch_bins=15000),
    "unsorted, two batches an update": dict(batch_size=2, accum_grad=2),
    "numel, whole batches": dict(batch_bins=20000, drop_last_iter=True),
    "folded, large": dict(batch_size=9, fold_length=[4000, 9], min_batch_size=6),
}


def train(arguments, monkeypatch):
    """What ``python -m espnet_adaptive_dropout -m espnet2.bin.asr_train`` does."""
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    runner.main(["-m", "espnet2.bin.asr_train", *arguments])


def state_of(path):
    state = torch.load(path, weights_only=True)
    return state.get("model", state)


@pytest.mark.parametrize("kind", BATCHES)
def test_steps_are_the_forwards_of_a_real_training(kind, data, tmp_path, monkeypatch):
    changes = dict(batch_type=kind.split(",")[0], **BATCHES[kind])
    arguments = command(data, tmp_path / "exp", **changes)
    expected = completed_conf(arguments)["total_steps"]
    train(arguments, monkeypatch)
    state = state_of(tmp_path / "exp" / "checkpoint.pth")
    assert state["encoder.control.step"] == expected
    assert state["encoder.control.frozen"] == 1
    assert expected % 2 == 0 and 2 <= expected <= 2 * len(TEXTS)


def test_splits_of_multiple_iterator(data, tmp_path, monkeypatch):
    split_data(data)
    arguments = command(
        data, tmp_path / "exp", split=True, multiple_iterator=True, batch_size=1
    )
    assert completed_conf(arguments)["total_steps"] == 2 * len(TEXTS)
    train(arguments, monkeypatch)
    state = state_of(tmp_path / "exp" / "checkpoint.pth")
    assert state["encoder.control.step"] == 2 * len(TEXTS)


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """A checkpoint of a training with adaptive dropout, frozen."""
    root = tmp_path_factory.mktemp("trained")
    runner_arguments = complete(command(data, root / "exp", max_epoch=3))
    asr_train.main(runner_arguments)
    return root / "exp" / "3epoch.pth"


@pytest.mark.parametrize("suffix", ["", ":encoder:encoder", ":::decoder"])
def test_gates_start_new_from_an_adaptive_checkpoint(suffix, trained, data, tmp_path):
    old = state_of(trained)
    assert old["encoder.control.step"] > 0 and old["encoder.control.frozen"] == 1
    arguments = command(data, tmp_path / "exp")
    position = len(arguments) // 2 * 2  # between two options
    arguments[position:position] = ["--init_param", f"{trained}{suffix}"]
    model = model_before_training(arguments)
    logits = model.encoder.units.logits()
    assert torch.allclose(logits, torch.tensor(4.0))
    for name in ("step", "frozen", "loss_average"):
        assert getattr(model.encoder.control, name) == 0, name
    new = model.state_dict()
    name = "encoder.encoders.0.feed_forward.w_1.weight"
    assert torch.equal(new[name], old[name])
    copied = torch.equal(new["decoder.embed.0.weight"], old["decoder.embed.0.weight"])
    assert copied == (suffix == "")


# ---- interruption


def test_interrupted_training_ends_as_an_uninterrupted_one(data, tmp_path, monkeypatch):
    settings = dict(
        max_epoch=3,
        accum_grad=2,
        optim_conf=dict(lr=0.5),
        scheduler="noamlr",
        scheduler_conf=dict(model_size=8, warmup_steps=3),
    )
    train(command(data, tmp_path / "once", **settings), monkeypatch)
    once = state_of(tmp_path / "once" / "checkpoint.pth")

    real, epochs = Trainer.train_one_epoch.__func__, []

    def stop_in_the_third_epoch(cls, *args, **kwargs):
        epochs.append(1)
        if len(epochs) == 3:
            raise KeyboardInterrupt
        return real(cls, *args, **kwargs)

    arguments = [*command(data, tmp_path / "twice", **settings), "--resume", "true"]
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_one_epoch", classmethod(stop_in_the_third_epoch))
        with pytest.raises(KeyboardInterrupt):
            train(arguments, monkeypatch)
    half = state_of(tmp_path / "twice" / "checkpoint.pth")
    assert half["encoder.control.step"] == 8 and half["encoder.control.frozen"] == 0
    assert half["encoder.control.steering.centre"] != 4.0
    train(arguments, monkeypatch)
    twice = state_of(tmp_path / "twice" / "checkpoint.pth")
    assert once["encoder.control.step"] == 12 and once["encoder.control.frozen"] == 1
    assert once.keys() == twice.keys()
    for name, tensor in once.items():
        assert torch.equal(tensor, twice[name]), name
