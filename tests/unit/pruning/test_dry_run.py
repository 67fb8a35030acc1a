import re

import pytest
import torch
import yaml
from support.experiments import model_options

from espnet_adaptive_dropout.bin import prune
from espnet_adaptive_dropout.pruning.dry_run import describe, size_table
from espnet_adaptive_dropout.pruning.open_trained import open_trained
from espnet_adaptive_dropout.units.widths import parse_indices

LINE = re.compile(r"    (\S+) \(([\dx]+)\): (rows|columns|entries)\D*([\d,-]+)")


def test_dry_run_names_the_rows_and_columns_that_pruning_removes(experiment, capsys):
    command = model_options(experiment)
    prune.main([*command, "--dry_run"])
    text = capsys.readouterr().out
    assert sorted(p.name for p in experiment.parent.iterdir()) == ["exp"]
    prune.main([*command, "--output_dir", str(experiment.parent / "compact")])
    before = torch.load(experiment / "valid.pth", weights_only=True)
    after = torch.load(experiment.parent / "compact/valid.pth", weights_only=True)
    block, checked, listed = None, 0, set()
    for line in text.splitlines():
        if line.startswith("block "):
            block = int(line[len("block ") :])
        found = LINE.match(line)
        if not found:
            continue
        key = f"encoder.encoders.{block}.{found[1]}"
        assert found[2] == "x".join(map(str, before[key].shape))
        gone = parse_indices(found[4])
        axis = 1 if found[3] == "columns" else 0
        old = before[key].flatten() if "pos_bias" in key else before[key]
        kept = [i for i in range(old.shape[axis]) if i not in gone]
        assert torch.equal(old.index_select(axis, torch.tensor(kept)), after[key]), key
        checked += 1
        listed.add(key)
    changed = {k for k in after if after[k].numel() != before[k].numel()}
    assert listed == changed and checked > 20
    report = yaml.safe_load((experiment.parent / "compact/plan.yaml").read_text())
    assert f"{report['reduction']:.2%} of the encoder's parameters would go" in text


def cells(table):
    rows = [line.strip("| ").split(" | ") for line in table[2:]]
    return {row[0]: [cell.replace(",", "") for cell in row[1:]] for row in rows}


def test_table_adds_up(experiment):
    trained = open_trained(experiment / "config.yaml", experiment / "valid.pth")
    table, keep = trained.table, trained.own_keep()
    rows = cells(size_table(table, keep))
    assert int(rows["encoder"][0]) == table.parameters.total
    for column in (0, 2, 4):
        parts = [int(row[column]) for name, row in rows.items() if name != "encoder"]
        assert sum(parts) == int(rows["encoder"][column])
    assert int(rows["encoder"][2]) == table.removed(keep)
    for name, bound in table.bounds().items():
        assert rows["encoder" if name == "all" else name][1] == f"{bound:.1%}"


def test_inputs_that_go_alone_leave_no_less_than_nothing(experiment):
    table = open_trained(experiment / "config.yaml", experiment / "valid.pth").table
    rows = cells(size_table(table, table.all_except(["conv_input"])))
    assert int(rows["encoder"][2]) == table.removed(table.all_except(["conv_input"]))
    assert all(int(row[4]) >= 0 for row in rows.values())
    assert int(rows["conv_input"][4]) == 0


def test_nothing_goes(experiment):
    trained = open_trained(experiment / "config.yaml", experiment / "valid.pth")
    text = describe(trained, torch.ones(trained.table.num_units, dtype=torch.bool))
    assert "ffn: all 24 units stay" in text
    assert "go:" not in text


def test_void_head(experiment):
    trained = open_trained(experiment / "config.yaml", experiment / "valid.pth")
    keep = torch.ones(trained.table.num_units, dtype=torch.bool)
    value = next(g for g in trained.table.groups if g.location == "value")
    keep[value.start : value.start + 4] = False
    text = describe(trained, trained.table.without_unused(keep))
    assert "query: 4 of 16 units go: 0-3" in text
    assert "left in each head: 0/4, 4/4, 4/4, 4/4" in text


def test_output_directory_is_needed_otherwise(experiment):
    with pytest.raises(SystemExit, match="--output_dir is required"):
        prune.main(model_options(experiment))


def test_dry_run_refuses_what_pruning_refuses(experiment):
    options = ["--dry_run", "--target_reduction", "0.95"]
    with pytest.raises(SystemExit, match="more than these locations can give"):
        prune.main(model_options(experiment) + options)
