import sys

import pytest
from torch.utils.tensorboard import SummaryWriter

from espnet_adaptive_dropout.report.history_reader import read_history, read_scalars


def write(output_dir, phase, points, suffix=""):
    """Write (name, value, step) as ESPnet does."""
    directory = str(output_dir / "tensorboard" / phase)
    with SummaryWriter(directory, filename_suffix=suffix) as writer:
        for name, value, step in points:
            writer.add_scalar(name, value, step)


def lists(series):
    return series.steps.tolist(), series.values.round(4).tolist()


def test_a_directory_without_events_is_empty(tmp_path):
    assert read_history(tmp_path) == {}
    assert read_scalars(tmp_path) == {"train": {}, "valid": {}}


def test_epoch_means_are_left_out_of_the_training(tmp_path):
    points = [("loss", 3.0, 50), ("loss", 2.0, 100), ("loss", 2.5, 120)]
    points += [("iter_epoch", 1, 120), ("loss", 1.0, 150), ("loss", 1.5, 240)]
    points += [("loss", 1.25, 240), ("iter_epoch", 2, 240)]
    write(tmp_path, "train", points)
    assert lists(read_scalars(tmp_path)["train"]["loss"]) == (
        [50, 100, 150, 240],
        [3.0, 2.0, 1.0, 1.5],
    )


def test_epoch_means_are_better_than_nothing(tmp_path):
    points = [("loss", 2.5, 12), ("iter_epoch", 1, 12)]
    points += [("loss", 1.5, 24), ("iter_epoch", 2, 24)]
    write(tmp_path, "train", points)
    assert lists(read_scalars(tmp_path)["train"]["loss"]) == ([12, 24], [2.5, 1.5])


def test_validation_keeps_its_epochs(tmp_path):
    write(tmp_path, "train", [("iter_epoch", 1, 12), ("iter_epoch", 2, 24)])
    write(tmp_path, "valid", [("acc", 0.5, 12), ("acc", 0.75, 24)])
    assert lists(read_scalars(tmp_path)["valid"]["acc"]) == ([12, 24], [0.5, 0.75])


def test_a_resumed_training_wins_over_what_it_repeats(tmp_path):
    write(tmp_path, "valid", [("acc", 0.1, 10), ("acc", 0.2, 20)], ".1")
    write(tmp_path, "valid", [("acc", 0.3, 20), ("acc", 0.4, 30)], ".2")
    steps, values = lists(read_scalars(tmp_path)["valid"]["acc"])
    assert (steps, values) == ([10, 20, 30], [0.1, 0.3, 0.4])


def test_values_that_are_not_finite_are_left_out(tmp_path):
    points = [("target_reduction", float("nan"), 1), ("target_reduction", 0.5, 2)]
    write(tmp_path, "train", points)
    found = read_scalars(tmp_path)["train"]["target_reduction"]
    assert lists(found) == ([2], [0.5])


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    write(tmp_path, "valid", [("acc", 0.1, 10)])
    name = "tensorboard.backend.event_processing"
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ValueError, match="pip install tensorboard"):
        read_scalars(tmp_path)
