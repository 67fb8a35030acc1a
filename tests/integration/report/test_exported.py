import json

import pytest
from support.experiments import model_options, pruned_experiment

from espnet_adaptive_dropout.bin import export, report
from espnet_adaptive_dropout.export.compare import Times
from espnet_adaptive_dropout.report.cost_bars import form_bars
from espnet_adaptive_dropout.report.exported import ExportedForm

FORMS = ["before", "pytorch", "pytorch_int8", "onnx", "onnx_int8"]


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    """A pruned experiment and its export, where the report looks for it."""
    trained, compact = pruned_experiment(tmp_path_factory.mktemp("exported"))
    options = ["--output_dir", str(compact / "export"), "--measure_time", "false"]
    export.main([*model_options(compact), *options])
    return trained, compact


def make_report(output, trained, *options):
    report.main(
        ["--exp", str(trained), "--output_dir", str(output), *map(str, options)]
    )
    return (output / "report.md").read_text(), json.loads(
        (output / "report.json").read_text()
    )


def test_forms_are_shown_and_timed_beside_the_full_width(experiment, tmp_path):
    trained, compact = experiment
    output = tmp_path / "report"
    text, content = make_report(output, trained, "--pruned", compact)
    assert "## ONNX and int8" in text and "](forms.png)" in text
    assert (output / "forms.png").exists()
    forms = content["forms"]
    assert list(forms) == FORMS
    made = json.loads((compact / "export" / "export.json").read_text())["forms"]
    for name, form in forms.items():
        assert form["seconds"]["median"] > 0.0
        if name != "before":
            assert form["bytes"] == made[name]["bytes"]
    assert forms["onnx"]["difference"] == made["onnx"]["difference"]
    assert forms["pytorch"]["bytes"] < forms["before"]["bytes"]
    assert "| after, PyTorch |" in text and "| CPU time [ms] |" in text
    assert not any("ONNX" in line for line in content["missing"])
    assert content["costs"]["after"]["timing"]["total"] > 0.0
    assert "thread(s), the encoders taking turns" in text


def test_what_cannot_be_timed_is_said(experiment, tmp_path):
    trained, compact = experiment
    broken = tmp_path / "export"
    broken.mkdir()
    content = (compact / "export" / "export.json").read_text()
    (broken / "export.json").write_text(content)
    options = ("--pruned", compact, "--export", broken)
    text, content = make_report(tmp_path / "report", trained, *options)
    assert list(content["forms"]) == FORMS
    assert all(form["seconds"] is None for form in content["forms"].values())
    (line,) = [line for line in content["missing"] if "exported forms" in line]
    assert "encoder.onnx: onnxruntime cannot read it" in line
    assert f"- {line}" in text


@pytest.mark.parametrize(
    "written, message",
    [
        (None, "--export takes what bin.export makes"),
        ("{", "this is not JSON"),
        ("{}", "not the report of bin.export"),
    ],
)
def test_an_export_of_something_else_is_refused(experiment, tmp_path, written, message):
    other = tmp_path / "other"
    other.mkdir()
    if written is not None:
        (other / "export.json").write_text(written)
    with pytest.raises(SystemExit) as stop:
        make_report(tmp_path / "report", experiment[0], "--export", other)
    assert message in str(stop.value) and "\n" not in str(stop.value)


def test_an_export_of_another_model_is_refused(experiment, tmp_path):
    trained, compact = experiment
    with pytest.raises(SystemExit, match="exported from an encoder of"):
        # Without --pruned it would have to be one of the model at full width.
        make_report(tmp_path / "report", trained, "--export", compact / "export")


def test_bars_of_size_and_time():
    difference = dict(largest=1.0, relative=0.1, mean=0.01)
    forms = {
        "before": ExportedForm("before", 4_000_000, None, Times(0.2, 0.1, 0.3)),
        "onnx": ExportedForm("ONNX", 1_000_000, difference, Times(0.05, 0.04, 0.06)),
    }
    sizes, times = form_bars(forms).axes
    assert [bar.get_width() for bar in sizes.patches] == [4.0, 1.0]
    assert [bar.get_width() for bar in times.patches] == [200.0, 50.0]
    assert "[MB]" in sizes.get_xlabel() and "[ms]" in times.get_xlabel()
    forms["onnx"].seconds = None
    assert len(form_bars(forms).axes) == 1
