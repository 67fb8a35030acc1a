"""How much each location of a model matters."""

from __future__ import annotations

import pytest
import torch
from support.experiments import make_experiment, model_options

from benchmarks.models.sensitivity import main

LOCATIONS = "self_query self_value source_query source_value decoder_ffn".split()


def table(tmp_path, capsys, *options):
    data = ("--train", str(tmp_path), "--valid", str(tmp_path), "--batches", "1")
    main([*model_options(tmp_path), *data, *options])
    lines = capsys.readouterr().out.splitlines()[2:]
    return [[cell.strip() for cell in line.strip("| ").split("|")] for line in lines]


def test_masked_shares_of_a_decoder(tmp_path, capsys):
    model = make_experiment(tmp_path, "conformer")
    rows = table(tmp_path, capsys, "--shares", "0.5", "1.0")
    assert [row[0] for row in rows] == ["none", *2 * [*LOCATIONS, "all of them"]]
    assert [row[1] for row in rows] == ["0%", *6 * ["50%"], *6 * ["100%"]]
    # Without hidden units only the bias of the second layer is left.
    state = model.state_dict()
    state["decoder.decoders.0.feed_forward.w_2.weight"].zero_()
    torch.save(state, tmp_path / "valid.pth")
    without = table(tmp_path, capsys, "--shares", "0.5")[0]
    masked = next(r for r in rows if r[:2] == ["decoder_ffn", "100%"])
    assert masked[3:] == without[3:] != rows[0][3:]


def test_an_encoder_without_a_decoder(tmp_path, capsys):
    make_experiment(tmp_path, "conformer", ctc_weight=1.0)
    rows = table(tmp_path, capsys, "--of", "encoder", "--shares", "1.0")
    losses = {row[0]: float(row[4]) for row in rows}
    assert losses["all of them"] != pytest.approx(losses["none"], abs=0.01)
    assert {row[3] for row in rows} == {"nan%"}
