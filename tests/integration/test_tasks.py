"""Every ESPnet task with a Conformer: train, prune and decode with its commands."""

import dataclasses
import importlib
import json
import sys

import pytest
import soundfile
import torch
import yaml
from support.experiments import model_options
from support.tiny_task_configs import TASKS
from support.tiny_tasks import (
    decoding_arguments,
    provide_transducer_loss,
    training_arguments,
    write_data,
)
from support.tiny_training import COMMON

import espnet_adaptive_dropout  # noqa: F401  (registers the classes)
from espnet_adaptive_dropout.bin import export, prune
from espnet_adaptive_dropout.experiments.encoder_entry import (
    STOCK_DECODER,
    adaptive_entries,
    encoder_entry,
)
from espnet_adaptive_dropout.experiments.experiment import load_task

MODEL = "valid.final_loss.best.pth"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("tasks") / "data")


def run(module, arguments, monkeypatch):
    """What ``python -m espnet2.bin.<module> arguments`` does, in this process."""
    command = importlib.import_module(f"espnet2.bin.{module}")
    monkeypatch.setattr(sys, "argv", [f"{module}.py", *arguments])
    command.main()


def diarise(exp, data):
    """The command of 202511 and 202611 fails after this, whatever the model."""
    from espnet2.bin.diar_inference import DiarizeSpeech

    diarize = DiarizeSpeech(str(exp / "config.yaml"), str(exp / MODEL), num_spk=2)
    speech, _ = soundfile.read(data / "utt0.wav", dtype="float32")
    _, activity = diarize(speech[None], fs=16000)
    assert activity.shape[0] == 1 and activity.shape[2] == 2
    assert ((activity > 0) & (activity < 1)).all()


def check_export(tiny, compact, output):
    """Of an encoder that reads tokens, or that lies behind another model."""
    arguments = ["--task", tiny.task, *model_options(compact, MODEL)]
    arguments += ["--output_dir", str(output)]
    arguments += ["--int8", "false", "--measure_time", "false"]
    if tiny.task == "s2t_ctc":  # the encoder reads the language token, too
        with pytest.raises(SystemExit, match=r"features and lengths \(prefix_embeds"):
            export.main(arguments)
        return
    export.main(arguments)
    form = json.loads((output / "export.json").read_text())["forms"]["onnx"]
    assert 0.0 < form["difference"]["relative"] <= 1e-5


@pytest.mark.parametrize("name", TASKS)
def test_train_prune_decode(name, data, tmp_path, monkeypatch):
    tiny = TASKS[name]
    if name == "asr_transducer":
        provide_transducer_loss(monkeypatch)
    exp, compact = tmp_path / "exp", tmp_path / "compact"
    arguments = training_arguments(tiny, data, exp)
    if tiny.train is None:
        load_task(tiny.task).main(cmd=arguments)
    else:
        run(tiny.train, arguments, monkeypatch)

    config = yaml.safe_load((exp / "config.yaml").read_text())
    entry = encoder_entry(config)
    state = torch.load(exp / MODEL, weights_only=True)
    # Four steps were counted, and the size was frozen on the way.
    assert float(state[f"{entry.prefix}control.step"]) == 4
    assert float(state[f"{entry.prefix}control.frozen"]) == 1
    # In between, ESPnet's own training loop moved the logits.
    assert float(state[f"{entry.prefix}control.optimizer.updates"]) > 0

    arguments = ["--task", tiny.task, *model_options(exp, MODEL)]
    has_decoder = config.get(entry.decoder_option) == STOCK_DECODER
    arguments += ["--compact_decoder", str(has_decoder).lower()]
    prune.main([*arguments, "--output_dir", str(compact)])
    certificate = json.loads((compact / "certificate.json").read_text())
    assert certificate["holds"] and certificate["frames"] > 0
    assert ("decoder" in certificate) == has_decoder
    report = json.loads((compact / "report.json").read_text())
    assert report["reduction"] == pytest.approx(0.2, abs=0.02)
    small = torch.load(compact / MODEL, weights_only=True)
    gone = sum(v.numel() for v in state.values()) - sum(
        v.numel() for v in small.values()
    )
    assert gone > report["removed_parameters"]

    if name in ("mt", "enh_s2t", "s2t_ctc"):
        check_export(tiny, compact, tmp_path / "export")
    if tiny.task == "diar":
        diarise(compact, data)
        return
    decoded = tmp_path / "decoded"
    arguments = decoding_arguments(tiny, data, compact, decoded)
    run(tiny.decode, arguments, monkeypatch)
    lines = (decoded / tiny.output).read_text().splitlines()
    assert [line.split()[0] for line in lines] == [f"utt{i}" for i in range(4)]


@pytest.mark.parametrize("name", ["st", "s2t", "slu", "mt", "enh_s2t"])
def test_decoder_of_every_task(name, data, tmp_path, monkeypatch):
    """Encoder and decoder with adaptive dropout, in one training."""
    tiny = TASKS[name]
    option = tiny.encoder.replace("encoder", "decoder")
    gates = dict(target_reduction=0.3, freeze_at=0.6, ramp_end=0.5)
    conf = {**COMMON["decoder_conf"], "adaptive_dropout_conf": gates}
    changes = {option: "adaptive_dropout_transformer", f"{option}_conf": conf}
    tiny = dataclasses.replace(tiny, config={**tiny.config, **changes})
    exp, compact = tmp_path / "exp", tmp_path / "compact"
    run(tiny.train, training_arguments(tiny, data, exp), monkeypatch)
    state = torch.load(exp / MODEL, weights_only=True)
    config = yaml.safe_load((exp / "config.yaml").read_text())
    for entry in adaptive_entries(config):
        assert float(state[f"{entry.prefix}control.step"]) == 4
        assert float(state[f"{entry.prefix}control.frozen"]) == 1
        assert float(state[f"{entry.prefix}control.optimizer.updates"]) > 0
    arguments = ["--task", tiny.task, *model_options(exp, MODEL)]
    prune.main([*arguments, "--output_dir", str(compact)])
    report = json.loads((compact / "report.json").read_text())
    assert report["reductions"]["encoder"] == pytest.approx(0.2, abs=0.02)
    assert report["reductions"]["decoder"] == pytest.approx(0.3, abs=0.02)
    assert report["certificate"]["decoder"]["largest_difference"] < 1e-12
    output = tmp_path / "decoded"
    run(tiny.decode, decoding_arguments(tiny, data, compact, output), monkeypatch)
    assert len((output / tiny.output).read_text().splitlines()) == 4
