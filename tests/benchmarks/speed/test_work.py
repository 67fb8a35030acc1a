"""Every form of an encoder computes what the encoder does, and is made once."""

from __future__ import annotations

import numpy
import pytest
import torch
from support.benchmark_speed import tiny_builder

from benchmarks.speed.build import noise
from benchmarks.speed.choices import parse_row
from benchmarks.speed.timing import Device
from benchmarks.speed.work import Forms, write_experiment


@pytest.fixture(scope="module")
def forms(tmp_path_factory):
    return Forms(tiny_builder(), Device(), tmp_path_factory.mktemp("forms"))


@pytest.mark.parametrize(
    "form, tolerance", [("", 1e-6), ("_int8", 0.3), ("_onnx", 1e-4), ("_onnx_int8", 1)]
)
def test_output(forms, form, tolerance):
    if "onnx" in form:
        pytest.importorskip("onnxruntime", reason="optional")
    inputs = noise(2, 2.0)
    with torch.no_grad():
        expected, lengths, _ = (
            tiny_builder().model(parse_row("all_54")).encoder(*inputs)
        )
    found = forms.run(parse_row("all_54" + form), inputs, 1)()
    assert numpy.abs(numpy.asarray(found[0]) - expected.numpy()).max() < tolerance
    assert numpy.array_equal(numpy.asarray(found[1]), lengths.numpy())


def test_files_are_made_once(forms):
    pytest.importorskip("onnxruntime", reason="optional")
    row = parse_row("all_54_onnx")
    before = forms.onnx_file(row).stat().st_mtime_ns
    assert forms.onnx_file(row).stat().st_mtime_ns == before


def test_forms_for_the_cpu_are_refused_elsewhere(forms, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    on_gpu = Forms(tiny_builder(), Device("cuda"), forms.directory)
    with pytest.raises(ValueError, match="all_54_int8 runs on a CPU only"):
        on_gpu.run(parse_row("all_54_int8"), noise(1, 2.0), 1)


def test_an_experiment_on_disk_is_kept(tmp_path):
    directory = tmp_path / "stock"
    write_experiment(tiny_builder(), parse_row("stock"), directory)
    (directory / "config.yaml").write_text("kept")
    write_experiment(tiny_builder(), parse_row("stock"), directory)
    assert (directory / "config.yaml").read_text() == "kept"
