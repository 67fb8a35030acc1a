"""A training with adaptive dropout in the decoder, from the config to recognition."""

import json
import sys

import pytest
import torch
import yaml
from espnet2.bin.asr_inference import Speech2Text
from espnet2.train import trainer
from support.tiny_training import (
    EARLY_FREEZE,
    LIGHTNING,
    command,
    encoder_conf,
)

from espnet_adaptive_dropout.bin import prune
from espnet_adaptive_dropout.bin import report as report_command
from espnet_adaptive_dropout.experiments.encoder_entry import main_decoder
from espnet_adaptive_dropout.experiments.experiment import load_checkpoint
from espnet_adaptive_dropout.plugin import runner
from espnet_adaptive_dropout.report.history_reader import read_scalars

ADAPTIVE = "adaptive_dropout_transformer"
DECODER = dict(attention_heads=2, linear_units=16, num_blocks=2)
NO_DROPOUT = dict(dropout_rate=0.0, positional_dropout_rate=0.0)
CUT = "the training goes on with the small decoder"
SETTINGS = dict(
    max_epoch=4, batch_size=2, decoder=ADAPTIVE, optim="sgd", optim_conf=dict(lr=0.01)
)


def decoder_conf(**gates):
    return {**DECODER, **NO_DROPOUT, "adaptive_dropout_conf": {**EARLY_FREEZE, **gates}}


def stock_encoder():
    options = {**encoder_conf(), **NO_DROPOUT}
    del options["adaptive_dropout_conf"]
    return dict(encoder="conformer", encoder_conf=options)


def train(arguments, monkeypatch, program="espnet2.bin.asr_train"):
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    runner.main(["-m", program, *arguments])


def pruned(exp, *extra, output="compact"):
    """Prune what was trained; returns the directory and the report."""
    directory = exp.parent / f"{exp.name}_{output}"
    prune.main(
        [
            *("--train_config", str(exp / "config.yaml")),
            *("--model_file", str(exp / "valid.final_loss.ave.pth")),
            *("--output_dir", str(directory), *extra),
        ]
    )
    return directory, json.loads((directory / "report.json").read_text())


def recognised(directory, name="valid.final_loss.ave.pth"):
    recognise = Speech2Text(
        str(directory / "config.yaml"),
        str(directory / name),
        beam_size=3,
        nbest=3,
        maxlenratio=-5,
        lm_weight=0.0,
        ctc_weight=0.3,
    )
    assert type(recognise.beam_search).__name__ == "BatchBeamSearch"
    generator = torch.Generator().manual_seed(0)
    found = recognise(0.1 * torch.randn(8000, generator=generator))
    return [(text, float(h.score)) for text, _, _, h in found]


def reported(exp):
    """Names of the figures in the report of a training."""
    output = exp.parent / "report"
    options = ["--exp", str(exp), "--output_dir", str(output)]
    report_command.main([*options, "--measure_time", "false"])
    text = (output / "report.md").read_text()
    figures = set(json.loads((output / "report.json").read_text())["figures"])
    assert all(f"]({name}.png)" in text for name in figures)
    return figures


@pytest.fixture
def widths(monkeypatch):
    """Number of trained weights of the decoder in every epoch."""
    found = []
    real = trainer.Trainer.train_one_epoch.__func__

    def noting(cls, model, **others):
        weights = main_decoder(model).parameters()
        found.append(sum(w.numel() for w in weights if w.requires_grad))
        return real(cls, model=model, **others)

    monkeypatch.setattr(trainer.Trainer, "train_one_epoch", classmethod(noting))
    return found


def test_from_training_to_recognition(data, tmp_path, monkeypatch, widths, caplog):
    """With gates in encoder and decoder, each with a target of its own."""
    gates = encoder_conf(**EARLY_FREEZE)
    arguments = command(
        data,
        tmp_path / "exp",
        encoder_conf={**gates, **NO_DROPOUT},
        decoder_conf=decoder_conf(target_reduction=0.3),
        use_tensorboard=True,
        **SETTINGS,
    )
    with caplog.at_level("INFO"):
        train(arguments, monkeypatch)
    assert caplog.text.count(CUT) == 1
    assert caplog.text.count("the training goes on with the small encoder") == 1
    assert widths[0] == widths[1] and widths[2] == widths[3] < 0.85 * widths[0]

    config = yaml.safe_load((tmp_path / "exp" / "config.yaml").read_text())
    conf = config["decoder_conf"]["adaptive_dropout_conf"]
    assert conf["total_steps"] == 16 and conf["history_dir"] == str(tmp_path / "exp")
    scalars = read_scalars(tmp_path / "exp")["train"]
    assert {"expected_reduction", "decoder_expected_reduction"} <= set(scalars)
    assert (tmp_path / "exp" / "tensorboard" / "retention_decoder").is_dir()

    directory, report = pruned(tmp_path / "exp")
    assert report["reductions"]["decoder"] == pytest.approx(0.3, abs=0.01)
    assert report["reductions"]["encoder"] == pytest.approx(0.2, abs=0.01)
    assert report["certificate"]["decoder"]["largest_difference"] < 1e-12
    # What the training cut is what is cut here.
    text = f"decoder, {report['before']['decoder_params']:,} -> "
    assert f"{text}{report['after']['decoder_params']:,} parameters" in caplog.text
    compact, masked = recognised(directory), recognised(tmp_path / "exp")
    assert [text for text, _ in compact] == [text for text, _ in masked]
    for (_, score), (_, other) in zip(compact, masked):
        assert score == pytest.approx(other, abs=1e-4)
    figures = reported(tmp_path / "exp")
    for kind in ("", "_decoder"):
        assert {f"retention_histograms{kind}", f"size_over_training{kind}"} <= figures


def test_it_ends_with_the_weights_of_the_masked_training(data, tmp_path, monkeypatch):
    """A stock encoder, and gates in the decoder alone."""
    states = []
    for name, cuts in (("small", True), ("masked", False)):
        arguments = command(
            data,
            tmp_path / name,
            **stock_encoder(),
            decoder_conf=decoder_conf(cut_in_training=cuts),
            **SETTINGS,
        )
        train(arguments, monkeypatch)
        states.append(load_checkpoint(tmp_path / name / "checkpoint.pth")["model"])
    small, masked = states
    assert small.keys() == masked.keys()
    for name, value in masked.items():
        assert small[name].shape == value.shape, name
    found = []
    for name in ("small", "masked"):
        directory, report = pruned(tmp_path / name)
        assert report["reductions"] == {"decoder": pytest.approx(0.2, abs=0.01)}
        found.append(torch.load(directory / "valid.final_loss.ave.pth"))
    assert found[0].keys() == found[1].keys()
    for name, value in found[1].items():
        difference = (found[0][name] - value).float()
        assert difference.numel() == 0 or difference.abs().max() < 1e-5, name


def test_one_target_for_encoder_and_decoder(
    data, tmp_path, monkeypatch, widths, caplog
):
    gates = encoder_conf(**{**EARLY_FREEZE, "target_reduction": 0.3, "of": "model"})
    own = {**DECODER, **NO_DROPOUT, "adaptive_dropout_conf": dict(of="model")}
    arguments = command(
        data,
        tmp_path / "exp",
        encoder_conf={**gates, **NO_DROPOUT},
        decoder_conf=own,
        use_tensorboard=True,
        **SETTINGS,
    )
    with caplog.at_level("INFO"):
        train(arguments, monkeypatch)
    assert caplog.text.count(CUT) == 1 and widths[3] < widths[0]
    directory, report = pruned(tmp_path / "exp")
    assert report["of"] == "model"
    assert report["reduction"] == pytest.approx(0.3, abs=0.01)
    text = f"decoder, {report['before']['decoder_params']:,} -> "
    assert f"{text}{report['after']['decoder_params']:,} parameters" in caplog.text
    compact, masked = recognised(directory), recognised(tmp_path / "exp")
    assert [text for text, _ in compact] == [text for text, _ in masked]
    other, report = pruned(tmp_path / "exp", "--target_reduction", "0.5", output="b")
    assert report["reduction"] == pytest.approx(0.5, abs=0.01)
    with pytest.raises(SystemExit, match="can only be cut together, --of model"):
        pruned(tmp_path / "exp", "--of", "encoder", output="c")
    # One course, of both
    assert reported(tmp_path / "exp") == {
        "costs",
        "retention_histograms",
        "size_over_training",
    }


def test_a_resumed_training_goes_on_with_its_clock(data, tmp_path, monkeypatch):
    def arguments(**gates):
        return command(
            data,
            tmp_path / "exp",
            **stock_encoder(),
            decoder_conf=decoder_conf(**gates),
            **SETTINGS,
        )

    real, epochs = trainer.Trainer.train_one_epoch.__func__, []

    def stop(cls, **others):
        epochs.append(1)
        if len(epochs) == 3:
            raise KeyboardInterrupt
        return real(cls, **others)

    with monkeypatch.context() as patch:
        patch.setattr(trainer.Trainer, "train_one_epoch", classmethod(stop))
        with pytest.raises(KeyboardInterrupt):
            train(arguments(), monkeypatch)
    resume = ["--resume", "true"]
    with pytest.raises(SystemExit, match="target_reduction: 0.4, but .* 0.2, which"):
        train([*arguments(target_reduction=0.4), *resume], monkeypatch)
    train([*arguments(), *resume], monkeypatch)
    state = load_checkpoint(tmp_path / "exp" / "checkpoint.pth")["model"]
    assert state["decoder.control.step"] == 16 and state["decoder.control.frozen"] == 1


def test_lightning(data, tmp_path, monkeypatch):
    pytest.importorskip("lightning", reason="the trainer is Lightning's")
    output = tmp_path / "exp"
    output.mkdir()
    arguments = command(
        *(data, output),
        **{**SETTINGS, "batch_size": 3},
        **stock_encoder(),
        decoder_conf=decoder_conf(),
        use_tensorboard=True,
        scheduler="warmuplr",
        scheduler_conf=dict(warmup_steps=3),
        lightning_conf=dict(LIGHTNING, max_epochs=4, num_sanity_val_steps=0),
    )
    program = "espnet2.bin.lightning_train"
    train(["--task", "asr", *arguments], monkeypatch, program)
    state = torch.load(output / "last.ckpt", weights_only=False)["state_dict"]
    assert state["model.decoder.control.frozen"] == 1


def test_what_does_not_fit_is_refused(data, tmp_path, monkeypatch):
    def refused(**changes):
        settings = dict(SETTINGS, decoder_conf=decoder_conf(), **stock_encoder())
        arguments = command(data, tmp_path / "exp", **{**settings, **changes})
        with pytest.raises(SystemExit) as stop:
            train(arguments, monkeypatch)
        assert "\n" not in str(stop.value)
        return str(stop.value)

    ctc = dict(ctc_weight=1.0, report_cer=False, report_wer=False)
    assert "no decoder (CTC only)" in refused(model_conf=ctc, model=None)
    assert "with ctc_weight 1.0 a model has none" in refused(model_conf=ctc)
    message = refused(decoder_conf=decoder_conf(distillation=0.5))
    assert "do not depend on the decoder" in message
    message = refused(best_model_criterion=[["valid", "acc", "max"]])
    assert "may select epochs from before the size is frozen" in message
    message = refused(decoder_conf=decoder_conf(locations=["conv_input"]))
    assert "'conv_input' is one of the encoder" in message
