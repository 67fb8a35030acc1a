import itertools

import pytest
import torch

from benchmarks.synthetic import Size, Task, logit_scale, train
from espnet_adaptive_dropout.control.config import AdaptiveDropoutConfig

STEPS = 400


def trained(steps=STEPS, **conf):
    torch.manual_seed(0)
    begin = AdaptiveDropoutConfig.from_dict(conf).gates_begin
    options = dict(total_steps=steps, logit_scale=logit_scale(steps, begin), **conf)
    task = Task(Size(32, 96, 2), options)
    return task.encoder, train(task, steps)


def errors(record, steps=STEPS):
    """Expected less aimed-at size before the freeze, in points."""
    before = record[: int(0.84 * steps)]
    return [100 * (r["expected_reduction"] - r["target_reduction"]) for r in before]


@pytest.mark.slow
@pytest.mark.parametrize(
    "control, target",
    list(itertools.product(["feedback", "lagrangian"], [0.2, 0.8])),
)
def test_expected_size_follows_the_ramp(control, target):
    encoder, record = trained(control=control, target_reduction=target)
    assert max(map(abs, errors(record))) < 1.0
    cost = encoder.units.parameters
    unit = 100 * max(cost.per_unit).item() / cost.total
    final = 100 * record[-1]["actual_reduction"]
    assert final == pytest.approx(100 * target, abs=max(0.1, unit / 2))


@pytest.mark.slow
@pytest.mark.parametrize("control", ["feedback", "lagrangian"])
def test_few_units_are_steered_as_well(control):
    encoder, record = trained(
        control=control, locations=["conv_input"], target_reduction=0.05
    )
    assert max(map(abs, errors(record))) < 0.5


@pytest.mark.slow
def test_macs_are_steered_to():
    encoder, record = trained(
        control="lagrangian", cost="macs", cost_frames=100, target_reduction=0.5
    )
    assert max(map(abs, errors(record))) < 1.0
    assert encoder.control.cost.name == "macs"
    assert record[-1]["actual_reduction"] == pytest.approx(0.5, abs=0.005)


@pytest.mark.slow
def test_hard_concrete_gates_are_steered_as_well():
    _, record = trained(gate="hard_concrete", control="lagrangian")
    assert max(map(abs, errors(record))) < 1.0
    assert record[-1]["undecided_units"] == 0.0
