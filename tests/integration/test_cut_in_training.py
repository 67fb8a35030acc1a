"""Trainings that go on with the small network, by ESPnet's own trainer."""

import logging
import sys

import pytest
import torch
from espnet2.train import trainer
from support.mixed_precision import CountingScaler, mixed_precision
from support.tiny_training import (
    CUT,
    EARLY_FREEZE,
    LIGHTNING,
    build_model,
    command,
    encoder_conf,
)

from espnet_adaptive_dropout.bin import prune
from espnet_adaptive_dropout.experiments.checkpoint import without_gates
from espnet_adaptive_dropout.experiments.encoder_entry import main_encoder
from espnet_adaptive_dropout.experiments.experiment import load_checkpoint
from espnet_adaptive_dropout.plugin import cutting_trainer, runner
from espnet_adaptive_dropout.stacks import training_cut

NO_DROPOUT = dict(
    dropout_rate=0.0, positional_dropout_rate=0.0, attention_dropout_rate=0.0
)
# Batches of two make five steps an epoch: frozen in the second.
SETTINGS = dict(
    max_epoch=4,
    batch_size=2,
    decoder_conf=dict(dropout_rate=0.0, positional_dropout_rate=0.0)
    | dict(attention_heads=2, linear_units=8, num_blocks=1),
    # Adam would divide the biases of keys, whose gradient is nothing but rounding.
    optim="sgd",
    optim_conf=dict(lr=0.01, momentum=0.9),
)


@pytest.fixture
def sizes(monkeypatch):
    """Number of trained weights of the encoder in every epoch."""
    found = []
    real = trainer.Trainer.train_one_epoch.__func__

    def noting(cls, model, **others):
        weights = main_encoder(model).parameters()
        found.append(sum(w.numel() for w in weights if w.requires_grad))
        return real(cls, model=model, **others)

    monkeypatch.setattr(trainer.Trainer, "train_one_epoch", classmethod(noting))
    return found


def arguments_of(data, output, **gates):
    conf = encoder_conf(**{**EARLY_FREEZE, **gates})
    return command(data, output, encoder_conf={**conf, **NO_DROPOUT}, **SETTINGS)


def train(arguments, monkeypatch):
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    runner.main(["-m", "espnet2.bin.asr_train", *arguments])


def saved(output, name="checkpoint.pth"):
    return load_checkpoint(output / name)


def test_it_ends_with_the_weights_of_the_masked_training(
    data, tmp_path, monkeypatch, sizes, caplog
):
    cuts = []
    find = training_cut.find_cuts
    monkeypatch.setattr(
        *(training_cut, "find_cuts"), lambda *a: cuts.append(find(*a)) or cuts[-1]
    )
    with caplog.at_level("INFO"):
        train(arguments_of(data, tmp_path / "small"), monkeypatch)
    assert CUT in caplog.text and len(cuts) == 1
    small, sizes[:] = list(sizes), []
    train(arguments_of(data, tmp_path / "masked", cut_in_training=False), monkeypatch)
    assert small[:2] == sizes[:2] and len(set(sizes)) == 1
    assert small[2] == small[3] < 0.85 * sizes[2]

    here, there = saved(tmp_path / "small"), saved(tmp_path / "masked")
    assert here["model"].keys() == there["model"].keys()
    for name, value in there["model"].items():
        other = here["model"][name]
        assert other.shape == value.shape, name
        cut = cuts[0].get(name.removeprefix("encoder."), training_cut.Cut())
        difference = cut.narrow((other - value).float())
        assert difference.numel() == 0 or difference.abs().max() < 1e-5, name
    for number, state in there["optimizers"][0]["state"].items():
        for key, value in state.items():
            found = here["optimizers"][0]["state"].get(number, {}).get(key, value)
            assert found.shape == value.shape, (number, key)


@pytest.mark.parametrize("epoch, taught", [(3, False), (4, False), (4, True)])
def test_an_interrupted_training_ends_as_an_uninterrupted_one(
    epoch, taught, data, tmp_path, monkeypatch
):
    """Interrupted just before the cut, and after it; by an existing model taught."""
    gates = {}
    if taught:
        conf = encoder_conf(locations=[])
        teacher = build_model(
            data, encoder_conf=conf, decoder_conf=SETTINGS["decoder_conf"]
        )
        torch.save(without_gates(teacher.state_dict()), tmp_path / "teacher.pth")
        gates = dict(distillation=0.5, teacher=str(tmp_path / "teacher.pth"))
    train(arguments_of(data, tmp_path / "once", **gates), monkeypatch)
    arguments = [*arguments_of(data, tmp_path / "twice", **gates), "--resume", "true"]
    real, epochs = trainer.Trainer.train_one_epoch.__func__, []

    def stop(cls, **others):
        epochs.append(1)
        if len(epochs) == epoch:
            raise KeyboardInterrupt
        return real(cls, **others)

    with monkeypatch.context() as patch:
        patch.setattr(trainer.Trainer, "train_one_epoch", classmethod(stop))
        with pytest.raises(KeyboardInterrupt):
            train(arguments, monkeypatch)
    assert not (tmp_path / "twice" / f"{epoch}epoch.pth").exists()
    train(arguments, monkeypatch)
    for name in ("checkpoint.pth", "valid.final_loss.ave_1best.pth"):
        once, twice = (saved(tmp_path / run, name) for run in ("once", "twice"))
        once, twice = (state.get("model", state) for state in (once, twice))
        for key, value in once.items():
            assert torch.equal(value, twice[key]), key


def test_mixed_precision_and_accumulated_gradients(
    data, tmp_path, monkeypatch, sizes, caplog
):
    mixed_precision(monkeypatch, torch.bfloat16, CountingScaler)
    arguments = arguments_of(data, tmp_path / "exp")
    arguments += ["--use_amp", "true", "--accum_grad", "2"]
    with caplog.at_level("INFO"):
        train(arguments, monkeypatch)
    assert CUT in caplog.text and sizes[3] < sizes[0]
    for name, value in saved(tmp_path / "exp")["model"].items():
        assert torch.isfinite(value).all(), name


def test_pruning_removes_what_the_training_cut(data, tmp_path, monkeypatch, caplog):
    with caplog.at_level("INFO"):
        train(arguments_of(data, tmp_path / "exp"), monkeypatch)
    parameters = caplog.text.split(CUT)[1].split("-> ")[1].split(" ")[0]
    prune.main(
        [
            *("--train_config", str(tmp_path / "exp" / "config.yaml")),
            *("--model_file", str(tmp_path / "exp" / "valid.final_loss.ave.pth")),
            *("--output_dir", str(tmp_path / "compact")),
        ]
    )
    report = (tmp_path / "compact" / "report.md").read_text()
    assert parameters in report


def test_an_optimizer_that_cannot_be_cut_trains_on_with_masks(
    data, tmp_path, monkeypatch, sizes, caplog
):
    def refuse(*_):
        raise ValueError("Adafactor keeps rows of another shape")

    monkeypatch.setattr(cutting_trainer, "cut_training", refuse)
    train(arguments_of(data, tmp_path / "exp"), monkeypatch)
    assert len(set(sizes)) == 1 and len(sizes) == 4
    assert caplog.text.count("Adafactor keeps rows of another shape") == 1


def test_lightning_goes_on_from_its_checkpoint(data, tmp_path, monkeypatch, caplog):
    pytest.importorskip("lightning", reason="the trainer is Lightning's")

    def run(epochs):
        output.mkdir(exist_ok=True)
        arguments = command(
            *(data, output),
            batch_size=3,
            encoder_conf={**encoder_conf(**EARLY_FREEZE, total_steps=15), **NO_DROPOUT},
            use_tensorboard=True,
            scheduler="warmuplr",
            scheduler_conf=dict(warmup_steps=3),
            lightning_conf=dict(LIGHTNING, max_epochs=epochs, num_sanity_val_steps=0),
        )
        monkeypatch.setattr(sys, "argv", list(sys.argv))
        runner.main(["-m", "espnet2.bin.lightning_train", "--task", "asr", *arguments])

    output = tmp_path / "exp"
    lightning_logger = logging.getLogger("lightning")
    monkeypatch.setattr(lightning_logger, "propagate", True)
    run(3)
    half = torch.load(output / "last.ckpt", weights_only=False)
    run(5)
    whole = torch.load(output / "last.ckpt", weights_only=False)
    assert caplog.text.count(CUT) == 2
    assert whole["global_step"] > half["global_step"]
    for name, value in half["state_dict"].items():
        assert whole["state_dict"][name].shape == value.shape, name
