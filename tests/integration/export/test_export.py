import json
import shutil

import numpy as np
import pytest
import torch
import yaml
from support.experiments import make_experiment, model_options, pruned_experiment

from espnet_adaptive_dropout.bin import export
from espnet_adaptive_dropout.experiments.experiment import (
    build_model,
    load_config,
    load_state,
    load_task,
    load_weights,
)
from espnet_adaptive_dropout.experiments.features import Inputs, noise_inputs
from espnet_adaptive_dropout.experiments.files import MANIFEST
from espnet_adaptive_dropout.export import export as exporting
from espnet_adaptive_dropout.export.batches import vary
from espnet_adaptive_dropout.export.compare import compare
from espnet_adaptive_dropout.export.onnx import OnnxEncoder


@pytest.fixture(scope="module")
def compact(tmp_path_factory):
    """A pruned experiment."""
    return pruned_experiment(tmp_path_factory.mktemp("export"))[1]


def run(experiment, output, *options):
    """Export and read export.json."""
    export.main(
        [*model_options(experiment), "--output_dir", str(output), *map(str, options)]
    )
    return json.loads((output / "export.json").read_text())


def refused(capsys, experiment, output, *options) -> str:
    """The one line in which the command ends; nothing must be left behind."""
    with pytest.raises(SystemExit) as error:
        run(experiment, output, *options)
    assert not output.exists() and not list(output.parent.glob("*.partial"))
    message = str(error.value)
    assert "\n" not in message
    return message


def open_model(directory):
    model = build_model(load_task("asr"), load_config(directory / "config.yaml"))
    load_weights(model, load_state(directory / "valid.pth"), "model")
    return model


def test_all_forms_of_a_pruned_model(compact, tmp_path, capsys):
    output = tmp_path / "export"
    report = run(compact, output)
    assert {path.name for path in output.iterdir()} == {
        *("encoder.onnx", "encoder.int8.onnx", "export.json", "export.md"),
        MANIFEST,
    }
    forms = report["forms"]
    assert list(forms) == ["pytorch", "pytorch_int8", "onnx", "onnx_int8"]
    assert report["compared_on"] == "3 utterances of data"
    assert {len(batch) for batch in report["batches"]} == {1, 3}
    assert max(map(max, report["batches"])) == 3000
    for name, row in forms.items():
        assert row["seconds"]["low"] <= row["seconds"]["median"]
        if row["file"]:
            assert row["bytes"] == (output / row["file"]).stat().st_size
        limits = dict(pytorch=(-1, 0), onnx=(0, 1e-5)).get(name, (1e-5, 0.2))
        assert limits[0] < row["difference"]["relative"] <= limits[1]
    assert report["rounds"] == export.ROUNDS
    text = (output / "export.md").read_text()
    assert "| ONNX, int8 | encoder.int8.onnx |" in text
    assert "CPU time" in text and "float32 (batch, frames, 20)" in text
    assert "onnx_int8 0." in capsys.readouterr().out


@torch.no_grad()
def test_the_file_computes_what_the_model_does(compact, tmp_path):
    output = tmp_path / "export"
    run(compact, output, "--int8", "false", "--measure_time", "false")
    assert not (output / "encoder.int8.onnx").exists()
    model = open_model(compact)
    inputs = noise_inputs(model, 1.7)
    expected, lengths, _ = inputs.run(model.encoder)
    actual, actual_lengths = OnnxEncoder(output / "encoder.onnx")(
        inputs.features.numpy(), inputs.lengths.numpy()
    )
    assert actual_lengths.tolist() == lengths.tolist()
    np.testing.assert_allclose(actual, expected.numpy(), atol=1e-5)


def test_int8_of_pytorch_alone_needs_no_onnx(compact, tmp_path):
    output = tmp_path / "export"
    report = run(compact, output, "--onnx", "false", "--measure_time", "false")
    assert list(report["forms"]) == ["pytorch", "pytorch_int8"]
    assert {p.name for p in output.iterdir()} == {"export.json", "export.md", MANIFEST}
    assert "CPU time" not in (output / "export.md").read_text()
    # Again: what the command made is replaced.
    run(compact, output, "--onnx", "false", "--measure_time", "false")


def test_without_data_noise_does(compact, tmp_path):
    moved = shutil.copytree(compact, tmp_path / "moved")
    config = load_config(compact / "config.yaml")
    config["valid_data_path_and_name_and_type"] = [["gone/wav.scp", "speech", "sound"]]
    (moved / "config.yaml").write_text(yaml.safe_dump(config))
    report = run(moved, tmp_path / "export", "--measure_time", "false")
    assert report["compared_on"].startswith("noise (the config's validation data")
    assert report["forms"]["onnx"]["difference"]["relative"] <= 1e-5


def stock(directory, encoder="conformer", **options):
    """A stock experiment whose encoder has these options too, or is another one."""
    make_experiment(directory, encoder="conformer")
    config = load_config(directory / "config.yaml")
    if encoder == "conformer":
        options = {**config["encoder_conf"], **options}
    config.update(encoder=encoder, encoder_conf=options)
    (directory / "config.yaml").write_text(yaml.safe_dump(config))
    model = build_model(load_task("asr"), config)
    torch.save(model.state_dict(), directory / "valid.pth")
    return directory


@pytest.mark.parametrize(
    "options", [{}, dict(interctc_layer_idx=[1], interctc_use_conditioning=True)]
)
def test_a_stock_conformer_also_one_conditioned_on_its_ctc(tmp_path, options):
    experiment = stock(tmp_path / "stock", **options)
    report = run(experiment, tmp_path / "export", "--measure_time", "false")
    assert report["forms"]["onnx"]["difference"]["relative"] <= 1e-5


def test_nothing_is_kept_of_a_wrong_file(compact, tmp_path, capsys, monkeypatch):
    write = exporting.export_onnx

    def write_other_weights(encoder, *arguments):
        with torch.no_grad():
            encoder.after_norm.bias += 1e-3
            write(encoder, *arguments)
            encoder.after_norm.bias -= 1e-3

    monkeypatch.setattr(exporting, "export_onnx", write_other_weights)
    message = refused(capsys, compact, tmp_path / "export")
    assert "the exported encoder differs by" in message
    assert "nothing was written" in message


def test_other_encoders_are_refused(tmp_path, capsys):
    message = refused(capsys, stock(tmp_path / "rnn", "rnn"), tmp_path / "export")
    assert "the encoder is a RNNEncoder; only a Conformer" in message


def test_inputs_that_the_file_has_no_place_for_are_refused(compact):
    encoder = open_model(compact).encoder
    features, lengths = torch.zeros(1, 50, 20), torch.tensor([50])
    prefixed = Inputs(features, lengths, {"prefix_embeds": torch.zeros(1, 2, 16)})
    with pytest.raises(ValueError, match=r"features and lengths \(prefix_embeds\)"):
        exporting._refuse_other_inputs(encoder, prefixed)
    encoder.ctc_trim = True
    with pytest.raises(ValueError, match="ctc_trim: true"):
        exporting._refuse_other_inputs(
            encoder, Inputs(features, lengths, {"ctc": torch.nn.Identity()})
        )


def test_batches_of_several_lengths_and_sizes():
    features = torch.arange(3 * 90).view(3, 90, 1).float()
    batches = vary(Inputs(features, torch.tensor([90, 60, 75])))
    lengths = [inputs.lengths.tolist() for inputs in batches]
    assert lengths == [[60], [90], [40], [60, 75, 90], [90, 40, 3000]]
    assert torch.equal(batches[0].features[0], features[1, :60])
    assert not batches[3].features[0, 60:].any()


def test_differences_are_of_real_frames_and_nan_is_seen():
    inputs = Inputs(torch.zeros(2, 4, 1), torch.tensor([4, 2]))
    output = torch.full((2, 4, 1), 2.0)
    other = output.clone()
    other[1, 2:] = 100.0  # padding
    other[0, 0] = 1.0

    def form(values, lengths=(4, 2)):
        return lambda _: (values, torch.tensor(lengths))

    difference = compare(form(output), form(other), [inputs])
    assert (difference.largest, difference.relative) == (1.0, 0.5)
    assert difference.mean == pytest.approx((1 / 24) ** 0.5)
    wrong = other.clone()
    wrong[0, 1] = float("nan")
    values = iter((wrong, other))
    once_wrong = lambda _: (next(values), torch.tensor([4, 2]))  # noqa: E731
    difference = compare(form(output), once_wrong, [inputs, inputs])
    assert not difference.relative <= 1.0
    with pytest.raises(ValueError, match=r"other lengths for input of \[4, 2\] frames"):
        compare(form(output), form(other, (4, 3)), [inputs])
