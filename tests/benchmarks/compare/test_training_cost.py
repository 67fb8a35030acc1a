"""Costs of trainings, counted by hand."""

from __future__ import annotations

import pytest

from benchmarks.compare.plan import gate_options
from benchmarks.compare.rows import all_runs
from benchmarks.compare.runs import PARTS, Run
from benchmarks.compare.training_cost import parts_by_width, training_cost


def run(kind, at=None, parts=PARTS, **options):
    return Run("run", "row", "title", "main", kind, options, at, None, parts)


@pytest.mark.parametrize(
    ("described", "expected"),
    [
        (run("dense"), (20, 0)),
        (run("stock", dropout_rate=0.0), (20, 0)),
        (run("small"), (0, 20)),
        (run("cut", at=0.3, criterion="taylor"), (6, 14)),
        (run("cut", at=0.3, parts=33, criterion="taylor"), (6, 27)),
        # A forward pass of the teacher from the cut to the end
        (run("cut", at=0.25, criterion="taylor", distillation=0.5), (10, 15)),
        (run("torch_pruning", at=0.5), (10, 10)),
        (run("gradual"), None),
        (run("recut", of="ours"), None),
        # Frozen within the tenth part, which is the last with masks
        (run("gated", ramp_start=0.2, ramp_end=0.3, freeze_at=0.46), (10, 10)),
        (run("gated", ramp_start=0.2, ramp_end=0.3, freeze_at=0.5), (10, 10)),
        (run("gated", cut_in_training=False), (20, 0)),
        (run("gated", freeze_at=1.0), (20, 0)),
        (run("gated", family=[0.2]), (20, 0)),
        # A forward pass at full width from a fifth to a half of the training
        (
            run("gated", distillation=0.5, ramp_start=0.2, ramp_end=0.3, freeze_at=0.5),
            (12, 10),
        ),
        # Where nothing is cut, a training step at full width to the end
        (
            run("gated", distillation=0.5, ramp_start=0.2, cut_in_training=False),
            (36, 0),
        ),
        # A forward pass of the teacher from a quarter of the training to its end
        (
            run(
                "gated",
                **dict(distillation=0.5, teacher="dense"),
                **dict(ramp_start=0.25, ramp_end=0.3, freeze_at=0.5),
            ),
            (15, 10),
        ),
        (run("gated", at=0.3, parts=40, ramp_end=0.25, freeze_at=0.5), (20, 20)),
    ],
)
def test_parts_at_full_and_at_final_width(described, expected):
    assert parts_by_width(described, gate_options(described)) == expected


def test_a_part_of_the_small_network_costs_what_its_products_cost():
    assert training_cost((20.0, 0.0), 0.5) == 1.0
    assert training_cost((9.0, 22.0), 0.5) == 1.0


def test_every_row_with_gates_has_options_that_are_accepted():
    for described in all_runs():
        parts_by_width(described, gate_options(described))
