"""Tables, aims and plots from results on disk."""

from __future__ import annotations

import dataclasses

import matplotlib.image
import pytest

from benchmarks.speed import report as tables
from benchmarks.speed.choices import Setting
from benchmarks.speed.report import aim_lines
from benchmarks.speed.store import Store, read_results

REFERENCE = Setting("256", 1, 10.0, 1)
LONG = Setting("256", 1, 20.0, 1)
WIDE = Setting("512", 1, 10.0, 1)


def row(ratio, macs, **more):
    times = [ratio * stock for stock in (0.9, 1.0, 1.2)]
    return dict(
        seconds=dict(wall=times, cpu=times),
        ratios=dict(wall=[ratio] * 3, cpu=[0.5 * ratio] * 3),
        parameters=1000,
        macs=macs,
        **more,
    )


def encodings(all_54):
    return dict(
        stock=row(1.0, 100),
        gated=row(1.02, 100),
        gated_all=row(0.99, 100),
        paper_54=row(0.68, 65),
        all_54=row(all_54, 40),
    )


@pytest.fixture
def exp(tmp_path):
    store = Store(tmp_path / "forward")
    for setting, ratio in ((REFERENCE, 0.45), (LONG, 0.55), (WIDE, 0.4)):
        missing = {"stock_onnx": "onnx is not installed"}
        store.add(setting.key, dataclasses.asdict(setting), encodings(ratio), missing)
    share = dict(wall=0.004, cpu=0.006)
    trained = dict(
        stock=row(1.0, 1, peak_bytes=1000),
        gated_all=row(1.01, 1, peak_bytes=1050, control_share=share),
    )
    about = dict(size="256", device="cpu", dtype="float32")
    Store(tmp_path / "train").add("x", about, trained, {})
    decoded = dict(stock=row(1.0, 1, audio_seconds=10.0))
    Store(tmp_path / "decode").add("x", about, decoded, {})
    loaded = dict(
        file_bytes=5e6, load_seconds=0.5, first_seconds=0.1, process_bytes=7e6
    )
    Store(tmp_path / "load").add("x", about, dict(all_54=loaded), {})
    return tmp_path


def aim(exp, text, clock="wall"):
    [results] = read_results(exp)
    [line] = [x for x in aim_lines(results, clock) if text in x]
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_aims_are_judged_by_the_reference_setting(exp):
    assert aim(exp, "removed, all locations") == [
        "≤ 50 %",
        "45.0 %",
        "yes",
        "55.0 % to 55.0 %, reached in 0 of 1",
    ]
    assert aim(exp, "time saved of MACs saved")[:3] == ["≥ 90 %", "91.4 %", "yes"]
    assert aim(exp, "pruning (judged by the lower quartile), the paper's")[2] == (
        "**no**"
    )
    assert aim(exp, "pruning (judged by the lower quartile), all")[2] == "yes"
    assert aim(exp, "dynamic int8, all")[2] == "not measured"


def test_aims_of_training(exp):
    assert aim(exp, "training step, all locations: time")[1:3] == ["101.0 %", "yes"]
    assert aim(exp, "peak memory")[1:3] == ["105.0 %", "**no**"]
    assert aim(exp, "size control")[:3] == ["≤ 0.5 %", "0.40 %", "yes"]
    assert aim(exp, "size control", "cpu")[1:3] == ["0.60 %", "**no**"]


def test_tables_and_plots_are_written(exp):
    tables.main(["--exp", str(exp)])
    text = (exp / "RESULTS.md").read_text(encoding="utf-8")
    for heading in ("Aims", "From file to ready", "Training step", "Recognition"):
        assert f"## {heading}\n" in text
    assert "| `all_54` | 45.0 | 55.0 |" in text
    assert "| `all_54` | 45.0, 40.0 | 40.0, 40.0 |" in text  # widths
    assert "Not measured: `stock_onnx`: onnx is not installed" in text
    for name in ("forms", "lengths", "widths"):
        assert f"![{name}]({name}.png)" in text
        image = matplotlib.image.imread(exp / f"{name}.png")
        assert image.shape[1] > 1000
        assert image[..., :3].std() > 0


def test_the_other_clock(exp):
    tables.main(["--exp", str(exp), "--out", str(exp / "cpu"), "--clock", "cpu"])
    text = (exp / "cpu/RESULTS.md").read_text(encoding="utf-8")
    assert "| `all_54` | 22.5 | 27.5 |" in text
    assert "Times are CPU seconds" in text


def test_nothing_measured_is_said(tmp_path):
    with pytest.raises(SystemExit, match="no results; run python -m benchmarks.speed"):
        tables.main(["--exp", str(tmp_path)])
