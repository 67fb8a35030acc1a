import json

import pytest

from benchmarks import control
from benchmarks.synthetic import Size

TINY = Size(output_size=16, linear_units=32, num_blocks=1)


@pytest.fixture
def trials(monkeypatch):
    trials = (
        control.Trial("40 %", dict(target_reduction=0.4), TINY, 40),
        control.Trial("5 %", dict(target_reduction=0.05), TINY, 40),
    )
    monkeypatch.setattr(control, "TRIALS", trials)
    return trials


def test_runs_what_is_missing_and_tabulates(trials, tmp_path, capsys, monkeypatch):
    options = ["--exp", str(tmp_path), "--controls", "feedback"]
    control.main(options)
    text = (tmp_path / "control.md").read_text()
    assert capsys.readouterr().out == text
    assert text.count("\n") == 4 and "| 40 % | feedback |" in text
    results = json.loads((tmp_path / "control.json").read_text())
    for result in results.values():
        assert result["from_target"] <= result["unit"]
        assert 0 < result["from_ramp"] < 100

    def fail(*args):
        raise AssertionError("ran again")

    monkeypatch.setattr(control, "train", fail)
    control.main(options)
    with pytest.raises(AssertionError, match="ran again"):
        control.main([*options, "--seed", "1"])


def test_large_encoder_and_long_training_are_ten_times_as_much():
    by_name = {trial.name: trial for trial in control.TRIALS}
    base = by_name["54 %"]
    assert by_name["54 %, training ten times longer"].steps == 10 * base.steps
    sizes = [
        control.Task(trial.size, dict(control="schedule")).encoder.units.parameters
        for trial in (base, by_name["54 %, encoder ten times larger"])
    ]
    assert sizes[1].total / sizes[0].total == pytest.approx(10, rel=0.1)
