import json
import os

import pytest
from support.experiments import make_experiment


@pytest.fixture
def stock(recipe):
    """An experiment under the recipe's names."""
    directory = recipe / "exp" / "asr_x"
    directory.mkdir(parents=True)
    make_experiment(directory, encoder="conformer")
    return directory


def export(run_in, *options):
    model = ("--asr_exp", "exp/asr_x", "--model_file", "valid.pth")
    return run_in("local/export.sh", *model, "--measure_time", "false", *options)


@pytest.mark.slow
def test_the_export_lies_in_the_experiment_and_is_kept(stock, run_in):
    done = export(run_in)
    assert done.returncode == 0, done.stderr
    report = stock / "export" / "export.json"
    assert len(json.loads(report.read_text())["forms"]) == 4
    for file in ("encoder.onnx", "encoder.int8.onnx", "export.md"):
        assert (stock / "export" / file).is_file()
    done = export(run_in, "--force", "false")
    assert done.returncode == 0 and "is there and newer" in done.stdout
    later = report.stat().st_mtime + 10
    os.utime(stock / "valid.pth", (later, later))
    done = export(run_in, "--force", "false", "--onnx", "false")
    assert done.returncode == 0 and "is there and newer" not in done.stdout
    assert len(json.loads(report.read_text())["forms"]) == 2


def test_what_is_missing_is_named(run_in):
    done = export(run_in)
    assert done.returncode == 1
    assert "exp/asr_x/config.yaml is missing: run stage 11 first" in done.stderr
    done = run_in("local/export.sh", "--asr_exp", "exp/asr_x")
    assert "--model_file is required" in done.stderr
