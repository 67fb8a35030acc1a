"""The regulariser in ESPnet's trainer: what does not change it, what does not hurt."""

import itertools
import sys

import pytest
import torch
from support.mixed_precision import CountingScaler, mixed_precision
from support.tiny_training import command, completed_conf, encoder_conf

from espnet_adaptive_dropout.control.size_control import SizeControl
from espnet_adaptive_dropout.encoders import posteriors
from espnet_adaptive_dropout.encoders.adaptive import AdaptiveDropoutConformerEncoder
from espnet_adaptive_dropout.experiments.experiment import load_state
from espnet_adaptive_dropout.modules import gate
from espnet_adaptive_dropout.plugin import runner

TARGET = 0.2


class Notes(list):
    """Of every training step: what the size control said and was told."""

    def column(self, name):
        return [note[name] for note in self]


@pytest.fixture
def notes(monkeypatch):
    kept = Notes()
    penalise = SizeControl.penalise

    def noting(self, loss, task_loss):
        stats = penalise(self, loss, task_loss)
        values = {name: float(value) for name, value in stats.items()}
        values.update(
            penalty_dtype=stats["retention_penalty"].dtype,
            progress=self.progress,
            loss_average=float(self.loss_average),
        )
        kept.append(values)
        return stats

    monkeypatch.setattr(SizeControl, "penalise", noting)
    return kept


def train(data, output, monkeypatch, **changes):
    """Train by the runner; returns the state and the completed options."""
    arguments = command(data, output, **changes)
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    runner.main(["-m", "espnet2.bin.asr_train", *arguments])
    return load_state(output / "checkpoint.pth"), completed_conf(arguments)


def assert_final(state, conf):
    """The training went its whole way, and its size is the one asked for."""
    encoder = AdaptiveDropoutConformerEncoder(
        20, **encoder_conf(**{**conf, "history_dir": ""})
    )
    prefix = "encoder."
    own = {k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)}
    encoder.load_state_dict(own)
    assert encoder.control.step == conf["total_steps"]
    assert encoder.control.frozen == 1
    missed = abs(encoder.control.actual_reduction() - TARGET)
    cost = encoder.control.gated_cost
    assert missed <= cost.per_unit.min() / cost.total
    for name, value in state.items():
        assert torch.isfinite(value).all(), name


def test_ties_are_cut_alike_in_all_processes():
    """At the start all logits are the same; the cut must not depend on chance."""
    cuts = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        options = dict(target_reduction=TARGET, total_steps=2)
        encoder = AdaptiveDropoutConformerEncoder(20, **encoder_conf(**options))
        assert len(encoder.units.logits().unique()) == 1
        encoder.control.freeze()
        cuts.append(encoder.units.logits())
    assert torch.equal(*cuts)
    assert (cuts[0] > 0).any() and (cuts[0] < 0).any()


# ---- accumulation


def test_accumulation_of_gradients_changes_nothing(data, tmp_path, monkeypatch, notes):
    """As many utterances for an update, at once or in two parts."""
    settings = dict(max_epoch=4, optim_conf=dict(lr=0.01))
    whole, parts = {}, {}
    whole["state"], whole["conf"] = train(
        data, tmp_path / "whole", monkeypatch, batch_size=4, **settings
    )
    whole["notes"], notes[:] = Notes(notes), []
    parts["state"], parts["conf"] = train(
        data, tmp_path / "parts", monkeypatch, batch_size=2, accum_grad=2, **settings
    )
    parts["notes"] = notes
    for training in (whole, parts):
        assert_final(training["state"], training["conf"])
    # Forward passes are the clock; the logits move with every update of the weights.
    assert parts["conf"]["total_steps"] == 2 * whole["conf"]["total_steps"]
    assert parts["conf"]["accum_grad"] == 2 and "accum_grad" not in whole["conf"]
    for name in ("progress", "target_reduction"):
        every_other = parts["notes"].column(name)[1::2]
        assert every_other == pytest.approx(whole["notes"].column(name)), name
    # The weight of the penalty is alpha times this.
    averages = [
        torch.tensor(training["notes"].column("loss_average")).mean()
        for training in (whole, parts)
    ]
    assert averages[0].item() == pytest.approx(averages[1].item(), rel=0.15)


# ---- mixed precision


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_mixed_precision(dtype, data, tmp_path, monkeypatch, notes):
    mixed_precision(monkeypatch, dtype, CountingScaler)
    dtypes = set()
    sample = gate.sample_gumbel_sigmoid

    def noting(logits, *args):
        mask = sample(logits, *args)
        dtypes.add(("logits", logits.dtype))
        dtypes.add(("mask", mask.dtype))
        assert set(mask.detach().to(dtype).unique().tolist()) <= {0.0, 1.0}
        return mask

    monkeypatch.setattr(gate, "sample_gumbel_sigmoid", noting)
    inputs = set()
    forward = gate.AdaptiveDropout.forward
    monkeypatch.setattr(
        *(gate.AdaptiveDropout, "forward"),
        lambda self, x: (inputs.add(x.dtype), forward(self, x))[1],
    )
    state, conf = train(data, tmp_path / "exp", monkeypatch, use_amp=True, max_epoch=4)
    # The activations were in half precision, the method's own numbers were not.
    assert dtype in inputs
    assert dtypes == {("logits", torch.float32), ("mask", torch.float32)}
    assert set(notes.column("penalty_dtype")) == {torch.float32}
    # Updates without effect, from overflows, disturb neither clock nor size.
    assert CountingScaler.skipped > 0
    assert_final(state, conf)


def test_distillation_in_mixed_precision(data, tmp_path, monkeypatch):
    mixed_precision(monkeypatch, torch.bfloat16, CountingScaler)
    dtypes = set()
    divergence_from = posteriors.Posteriors.divergence_from

    def noting(student, teacher):
        divergence = divergence_from(student, teacher)
        dtypes.add((student.logits.dtype, divergence.dtype))
        return divergence

    monkeypatch.setattr(posteriors.Posteriors, "divergence_from", noting)
    state, conf = train(
        data,
        tmp_path / "exp",
        monkeypatch,
        use_amp=True,
        max_epoch=4,
        encoder_conf=encoder_conf(target_reduction=TARGET, distillation=0.5),
    )
    assert dtypes == {(torch.bfloat16, torch.float32)}
    assert_final(state, conf)


# ---- clipping and losses that are not finite


def test_gradient_clipping(data, tmp_path, monkeypatch):
    state, conf = train(data, tmp_path / "exp", monkeypatch, grad_clip=0.01)
    assert_final(state, conf)


def test_losses_that_are_not_finite(data, tmp_path, monkeypatch, notes):
    """ESPnet leaves such updates out; the controller must not remember them."""
    from espnet2.asr.espnet_model import ESPnetASRModel

    forward, calls = ESPnetASRModel.forward, []
    bad = itertools.cycle([float("nan"), float("inf")])

    def failing(self, **batch):
        loss, stats, weight = forward(self, **batch)
        calls.append(self.training)
        if self.training and len([1 for training in calls if training]) % 3 == 1:
            loss = loss * next(bad)
            stats = dict(stats, loss=loss.detach())
        return loss, stats, weight

    monkeypatch.setattr(ESPnetASRModel, "forward", failing)
    state, conf = train(data, tmp_path / "exp", monkeypatch, max_epoch=3)
    assert_final(state, conf)
    averages = torch.tensor(notes.column("loss_average"))
    assert torch.isfinite(averages).all()
    # The first loss is one of them: the average starts with the second.
    assert averages[0] == 0 and (averages[1:] > 0).all()
