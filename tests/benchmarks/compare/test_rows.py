"""What is compared."""

from __future__ import annotations

import pytest

from benchmarks.compare.rows import all_runs, chosen_runs
from benchmarks.compare.runs import EVERYTHING, LOCATIONS, OPEN_UNTIL
from espnet_adaptive_dropout.control.config import AdaptiveDropoutConfig
from espnet_adaptive_dropout.units import locations


def test_names_are_unique():
    names = [run.name for run in all_runs()]
    assert len(set(names)) == len(names)


def test_every_location_is_tried_alone_and_left_out():
    paper = set(locations.by_default("encoder"))
    assert set(LOCATIONS) == paper
    for name in LOCATIONS:
        (alone,) = chosen_runs([f"only_{name}"])
        (without,) = chosen_runs([f"without_{name}"])
        assert alone.options["locations"] == [name]
        assert set(without.options["locations"]) == set(LOCATIONS) - {name}


def test_all_locations_are_tried_at_two_sizes_by_both_ways():
    assert set(EVERYTHING) == set(locations.names_of("encoder"))
    for suffix, target, section in (("", None, "main"), ("_70", 0.7, "sizes")):
        rows = [name + suffix for name in ("ours_all", "distilled_all", "taylor_all")]
        runs = chosen_runs(rows)
        assert len(runs) == 4  # Taylor from two prune points
        for run in runs:
            assert run.options["locations"] == list(EVERYTHING)
            assert (run.target, run.section) == (target, section)


@pytest.mark.parametrize(
    "run", [run for run in all_runs() if run.kind == "gated"], ids=lambda run: run.name
)
def test_options_are_options_of_the_encoder(run):
    config = AdaptiveDropoutConfig.from_dict({"target_reduction": 0.54, **run.options})
    for name, value in run.options.items():
        assert getattr(config, name) == value


@pytest.mark.parametrize(
    "run",
    [run for run in all_runs() if run.section == "settings"],
    ids=lambda run: run.name,
)
def test_a_changed_setting_is_not_the_default(run):
    default = AdaptiveDropoutConfig()
    assert run.options or run.at != OPEN_UNTIL
    for name, value in run.options.items():
        assert getattr(default, name) != value


def test_gates_are_open_by_default_as_far_as_the_dense_training_is_shared():
    assert AdaptiveDropoutConfig().ramp_start == OPEN_UNTIL


def test_what_is_cut_later_is_there():
    names = {run.name for run in all_runs()}
    assert {run.options["of"] for run in all_runs() if run.kind == "recut"} <= names


def test_rows_are_chosen_by_name_row_section_and_wildcard():
    def names(*patterns):
        return [run.name for run in chosen_runs(patterns)]

    assert names("magnitude_50") == ["magnitude_50"]
    assert names("magnitude") == ["magnitude_30", "magnitude_50", "magnitude_80"]
    assert names("ours", "dense") == ["dense", "ours"]
    assert len(names("ablation")) == 10
    assert names("*") == [run.name for run in all_runs()]


def test_an_unknown_row_is_refused():
    with pytest.raises(ValueError, match="--rows magnitud: no such row; there are den"):
        chosen_runs(["magnitud"])
