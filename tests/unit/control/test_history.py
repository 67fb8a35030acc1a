import copy
import logging
import pickle
import sys

import numpy as np
import pytest
import torch
from support.encoders import SMALL, adaptive

from espnet_adaptive_dropout.control.history import (
    EDGES,
    OVERALL,
    RetentionHistory,
    retention_by_location,
)
from espnet_adaptive_dropout.report.history_reader import read_history


@pytest.fixture
def table():
    return adaptive(SMALL, locations=["ffn", "value"]).units


def set_probabilities(table, seed):
    generator = torch.Generator().manual_seed(seed)
    probabilities = torch.rand(int(table.gated().sum()), generator=generator)
    table.set_logits(torch.logit(probabilities))


def record(output_dir, table, steps, total_steps=10, **options):
    history = RetentionHistory(output_dir, total_steps, **options)
    for step in steps:
        set_probabilities(table, step)
        history.record(step, table)
    return history


def test_counts_read_back_are_those_of_the_probabilities(tmp_path, table):
    record(tmp_path, table, range(1, 4))
    found = read_history(tmp_path)
    assert set(found) == {"ffn", "value", OVERALL}
    for row, step in enumerate((1, 2, 3)):
        set_probabilities(table, step)
        values = torch.sigmoid(table.logits()).detach().numpy()
        counts, _ = np.histogram(values, EDGES)
        assert found[OVERALL].counts[row].tolist() == counts.tolist()
        ffn = [
            torch.sigmoid(g.logits) for (_, n), g in table.gates.items() if n == "ffn"
        ]
        counts, _ = np.histogram(torch.cat(ffn).detach().numpy(), EDGES)
        assert found["ffn"].counts[row].tolist() == counts.tolist()
    assert found["ffn"].steps.tolist() == [1, 2, 3]
    assert np.allclose(found["ffn"].edges, EDGES)


def test_decided_units_are_in_the_outermost_bins(tmp_path, table):
    history = RetentionHistory(tmp_path, 1)
    units = int(table.gated().sum())
    logits = torch.full((units,), -60.0)
    logits[:5] = 60.0
    table.set_logits(logits)
    history.record(1, table)
    (counts,) = read_history(tmp_path)[OVERALL].counts
    assert (counts[0], counts[-1], counts.sum()) == (units - 5, 5, units)


def test_every_gated_unit_belongs_to_one_location(table):
    found = retention_by_location(table)
    overall = found.pop(OVERALL)
    assert sum(map(len, found.values())) == len(overall) == int(table.gated().sum())


def test_as_many_histograms_as_asked_for(tmp_path, table):
    record(tmp_path, table, range(1, 1001), total_steps=1000, times=4)
    assert read_history(tmp_path)[OVERALL].steps.tolist() == [1, 250, 500, 750, 1000]


def test_nothing_is_computed_between_histograms(tmp_path, table):
    history = RetentionHistory(tmp_path, 1000, times=4)
    history.record(2, None)  # would fail if it looked at the table
    assert not list(tmp_path.iterdir())


def test_a_resumed_training_replaces_what_came_after_its_checkpoint(tmp_path, table):
    record(tmp_path, table, range(1, 8))
    record(tmp_path, table, range(4, 6))
    found = read_history(tmp_path)[OVERALL]
    assert found.steps.tolist() == [1, 2, 3, 4, 5]


def test_a_resumed_training_replaces_also_steps_between_its_histograms(tmp_path, table):
    record(tmp_path, table, range(1, 20), total_steps=20)
    resumed = RetentionHistory(tmp_path, 1000)  # every 10 steps
    for step in range(12, 31):
        resumed.record(step, table)
    steps = read_history(tmp_path)[OVERALL].steps.tolist()
    assert steps == [*range(1, 12), 20, 30]


def test_copies_do_not_share_the_event_file(tmp_path, table):
    history = record(tmp_path, table, [1])
    assert history._writer is not None
    for other in (copy.deepcopy(history), pickle.loads(pickle.dumps(history))):
        assert other._writer is None
        assert other.interval == history.interval
    history.record(2, table)
    assert read_history(tmp_path)[OVERALL].steps.tolist() == [1, 2]


def test_only_the_first_process_writes(tmp_path, table, monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 1)
    record(tmp_path, table, [1, 2])
    assert read_history(tmp_path) == {}
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 0)
    record(tmp_path, table, [1, 2])
    assert read_history(tmp_path)[OVERALL].steps.tolist() == [1, 2]


def test_without_tensorboard_it_is_off_with_one_line(
    tmp_path, table, monkeypatch, caplog
):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with caplog.at_level(logging.WARNING):
        record(tmp_path, table, [1, 2, 3])
    assert len(caplog.records) == 1
    assert "tensorboard package is not installed" in caplog.text
    assert not list(tmp_path.iterdir())


def test_a_directory_that_cannot_be_written_does_not_end_the_training(
    tmp_path, table, caplog
):
    (tmp_path / "tensorboard").write_text("in the way")
    with caplog.at_level(logging.WARNING):
        record(tmp_path, table, [1, 2])
    assert len(caplog.records) == 1
    assert str(tmp_path) in caplog.text
