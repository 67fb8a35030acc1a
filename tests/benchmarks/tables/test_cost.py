"""Error rates over the cost of the training, from made-up results."""

from __future__ import annotations

import pytest
from support.benchmark_recipe import settings

from benchmarks.compare.runs import EQUAL_COST
from benchmarks.files import write_json
from benchmarks.tables import cost


def comparison(path, max_epoch, errors):
    settings(path, path, target=0.54, max_epoch=max_epoch).keep()
    rows = {
        "dense": ("main", [20.0, 0.0]),
        "early": (EQUAL_COST, [9.0, 22.0]),
        "gradual": (EQUAL_COST, None),
        "ours": ("main", [20.0, 0.0]),
    }
    write_json(
        path / "rows.json",
        {
            name: dict(row=name, title=name, section=section, parts_by_width=parts)
            for name, (section, parts) in rows.items()
        },
    )
    for name, wrong in errors.items():
        for seed in (1, 2):
            counts = dict(words=100, word_errors=wrong + seed, chars=400, char_errors=9)
            result = dict(
                sets=dict(test=counts, dev=counts),
                valid_loss=1.0,
                encoder_params=1000,
                encoder_macs=4e6 if name in ("dense", "ours") else 2e6,
            )
            write_json(path / f"seed{seed}" / name / "result.json", result)
    return path


def test_table_and_plot_of_two_lengths(tmp_path):
    errors = dict(dense=9, early=7, gradual=8, ours=5)
    short = comparison(tmp_path / "short", 8, errors)
    long = comparison(tmp_path / "long", 16, dict(dense=5, early=4))
    cost.main(["--exp", str(short), str(long), "--out", str(tmp_path / "out")])
    lines = (tmp_path / "out" / "cost.md").read_text().splitlines()[2:]
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert [row[:2] for row in cells] == [
        ["dense", "8.0"],
        ["early", "8.0"],
        ["dense", "16.0"],
        ["early", "16.0"],
    ]
    assert cells[1][3:] == ["8.5 ± 0.7", "8.0, 9.0", "-19 %"]
    assert (tmp_path / "out" / "cost.png").stat().st_size > 10_000


def test_rows_can_be_chosen(tmp_path):
    exp = comparison(tmp_path / "exp", 8, dict(dense=9, early=7))
    command = ["--exp", str(exp), "--out", str(tmp_path / "out"), "--rows"]
    cost.main([*command, "dense"])
    assert len((tmp_path / "out" / "cost.md").read_text().splitlines()) == 3
    with pytest.raises(SystemExit, match="--rows other: no such row among"):
        cost.main([*command, "early,other"])


def test_without_the_dense_model_nothing_can_be_compared(tmp_path):
    path = comparison(tmp_path / "exp", 8, dict(early=7))
    with pytest.raises(SystemExit, match="the dense model has no result yet"):
        cost.main(["--exp", str(path), "--out", str(tmp_path / "out")])
