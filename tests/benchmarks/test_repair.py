"""Cuts without training: what is run, and the table, from made-up results."""

from __future__ import annotations

import pytest

from benchmarks import repair
from benchmarks.files import read_json, write_json


def result(path, test, dev=30):
    counts = [dict(words=1000, word_errors=errors) for errors in (test, dev)]
    write_json(path / "result.json", dict(sets=dict(test=counts[0], dev=counts[1])))


@pytest.fixture
def dense(tmp_path):
    """Dense models of two seeds with 20 and 40 errors."""
    for seed, errors in ((1, 20), (2, 40)):
        result(tmp_path / "exp" / f"seed{seed}" / "dense", errors)
    return tmp_path / "exp"


def write_cut(out, seed, name, errors, shares=None):
    result(out / f"seed{seed}" / name, errors)
    report = {}
    if shares is not None:
        found = dict(before=shares[0], after=shares[1])
        # The first seed was cut before there were repairs of decoders.
        report["repair"] = found if seed == 1 else dict(encoder=found)
    write_json(out / f"seed{seed}" / name / "report.json", report)


def cells_of(lines):
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:]]


def test_table(dense, tmp_path):
    out = tmp_path / "out"
    for seed, plain, repaired in ((1, 60, 30), (2, 100, 50)):
        write_cut(out, seed, "taylor_54", plain)
        write_cut(out, seed, "taylor_54_repaired", repaired, (0.2, 0.1))
    write_cut(out, 2, "magnitude_30", 40)
    write_cut(out, 2, "magnitude_30_repaired", 44, (0.5, 0.3))
    rows = cells_of(repair.repair_table(dense, out))
    assert rows[0][1:7] == ["0 %", "", "", "3.0 ± 1.4", "2.0, 4.0", "3.0"]
    assert rows[1][:4] == ["taylor", "54 %", "no", "20.0"]
    assert rows[1][4:] == ["8.0 ± 2.8", "6.0, 10.0", "3.0", "+167 %", ""]
    assert rows[2][:4] == ["taylor", "54 %", "yes", "10.0"]
    # 20 extra errors of 100 that the cut added
    assert rows[2][5:] == ["3.0, 5.0", "3.0", "+33 %", "20 %"]
    # Nothing to win back, and compared with the dense model of its own seed
    assert rows[4] == ["magnitude", "30 %", "yes", "30.0", "4.4", "4.4", "3.0"] + [
        "+10 %",
        "",
    ]


def test_without_results_there_is_no_table(dense, tmp_path):
    with pytest.raises(ValueError, match="no cut has a result"):
        repair.repair_table(dense, tmp_path / "out")
    write_cut(tmp_path / "out", 3, "taylor_30", 20)
    with pytest.raises(ValueError, match="seed3/dense/result.json: no such result"):
        repair.repair_table(dense, tmp_path / "out")


def test_what_is_made(dense, tmp_path, monkeypatch, capsys):
    """Every cut is made and scored once; finished ones are left alone."""
    commands, scored = [], []

    def prune(command):
        options = dict(zip(command[::2], command[1::2]))
        commands.append(command)
        shares = dict(before=0.2, after=0.1)
        report = (
            dict(repair=dict(encoder=shares)) if options["--repair"] == "true" else {}
        )
        write_json(tmp_path / options["--output_dir"] / "report.json", report)

    def score(args):
        scored.append(args)
        result(args.output.parent, 50)

    monkeypatch.setattr(repair.prune, "main", prune)
    monkeypatch.setattr(repair, "score", score)
    options = ["--exp", str(dense), "--out", str(tmp_path / "out")]
    options += ["--seeds", "1", "--sizes", "40", "--repair_utterances", "7"]
    repair.main(options)
    names = [args.output.parent.name for args in scored]
    assert names == [
        *("taylor_40", "taylor_40_repaired"),
        *("magnitude_40", "magnitude_40_repaired"),
        *("activation_40", "activation_40_repaired"),
    ]
    first, second = commands[:2]
    assert first[first.index("--model_file") + 1] == str(
        dense / "seed1" / "dense" / "train" / "valid.loss.ave.pth"
    )
    assert first[first.index("--repair") + 1] == "false"
    assert second[second.index("--repair") + 1] == "true"
    assert second[second.index("--repair_utterances") + 1] == "7"
    assert second[second.index("--target_reduction") + 1] == "0.4"
    assert "batches=64" in second and "batches=64" not in commands[2]
    assert scored[0].sets == dense / "sets.json"
    assert "| taylor | 40 % | yes |" in (tmp_path / "out" / "repair.md").read_text()
    (tmp_path / "out" / "seed1" / "taylor_40" / "result.json").unlink()
    repair.main([*options, "--criteria", "taylor"])
    assert len(commands) == 6 and len(scored) == 7  # cut before, now scored again
    assert read_json(tmp_path / "out" / "seed1" / "taylor_40" / "result.json")
    assert "extra errors left" in capsys.readouterr().out
