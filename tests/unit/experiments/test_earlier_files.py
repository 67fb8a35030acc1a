"""Checkpoints, configs and packed models written before the package had rooms."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
import torch
import yaml
from espnet2.tasks.asr import ASRTask
from espnet2.train.reporter import Reporter
from espnet2.train.trainer import Trainer
from support import tiny_training
from support.paths import ROOT

from espnet_adaptive_dropout.experiments.checkpoint import without_gates
from espnet_adaptive_dropout.pruning.open_trained import open_trained
from espnet_adaptive_dropout.pruning.plan import PruningPlan
from espnet_adaptive_dropout.units.surgery import cut_weights
from espnet_adaptive_dropout.units.widths import compact_options

FILES = ROOT / "tests" / "fixtures" / "before_rooms"


@pytest.fixture
def compact(tmp_path):
    """The compact experiment, unpacked."""
    with zipfile.ZipFile(FILES / "packed.zip") as file:
        file.extractall(tmp_path)
    return tmp_path / "compact"


@torch.no_grad()
def check_output(model, name: str) -> None:
    stored = np.load(FILES / "outputs.npz")
    speech = torch.from_numpy(stored["speech"].astype(np.float32) / 32768)[None]
    lengths = torch.tensor([speech.size(1)])
    output, _ = model.eval().encode(speech, lengths)
    # Bit-identical on the machine that wrote them; others round differently.
    expected = torch.from_numpy(stored[name])
    assert (output[0] - expected).abs().max() <= 1e-6 * expected.abs().max()


def test_gated_experiment():
    directory = FILES / "gated"
    model, _ = ASRTask.build_model_from_file(
        directory / "config.yaml", directory / "valid.pth", "cpu"
    )
    check_output(model, "gated")
    assert model.encoder.control.is_final


def test_packed_model(compact):
    model, _ = ASRTask.build_model_from_file(
        compact / "config.yaml", compact / "valid.pth", "cpu"
    )
    check_output(model, "compact")


def test_stored_plan_gives_the_stored_cut(compact):
    trained = open_trained(FILES / "gated" / "config.yaml", FILES / "gated/valid.pth")
    plan = PruningPlan.from_dict(yaml.safe_load((compact / "plan.yaml").read_text()))
    keep = plan.keep(trained.table)
    config = yaml.safe_load((compact / "config.yaml").read_text())
    for option, value in compact_options(trained.table, keep).items():
        assert config["encoder_conf"][option] == value
    state = torch.load(compact / "valid.pth", weights_only=True)
    weights = without_gates(trained.state)
    cut = cut_weights(weights, trained.table, keep, "encoder.")
    assert list(cut) == list(state)
    assert all(torch.equal(cut[key], state[key]) for key in cut)


def test_training_resumes_from_its_checkpoint(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the config names a directory for the history
    model, args = ASRTask.build_model_from_file(FILES / "trained" / "config.yaml")
    optimizers = ASRTask.build_optimizers(args, model)
    reporter = Reporter()
    Trainer.resume(
        FILES / "trained" / "checkpoint.pth", model, reporter, optimizers, [None], None
    )
    check_output(model, "checkpoint")
    assert reporter.get_epoch() == 4
    frozen = model.encoder.units.logits().detach().clone()
    loss, _, _ = model.train()(**tiny_training.batch())
    loss.backward()
    optimizers[0].step()
    assert torch.equal(model.encoder.units.logits() > 0, frozen > 0)
    assert model.encoder.control.step == 17
