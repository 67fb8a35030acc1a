"""How closely trainings of a made-up task follow the size aimed at."""

import pytest
import torch
from support.tiny_training import LATE_FREEZE

from benchmarks.synthetic import Size, Task, train
from espnet_adaptive_dropout.control.config import AdaptiveDropoutConfig
from espnet_adaptive_dropout.control.steering import STEERING

STEPS = 240
SIZE = Size(32, 96, 2)


def trained(steps=STEPS, **conf):
    torch.manual_seed(0)
    task = Task(SIZE, dict(LATE_FREEZE, total_steps=steps, **conf))
    return task.encoder, train(task, steps)


def errors(record, steps=STEPS):
    """Expected less aimed-at size before the freeze, in points."""
    before = record[: int(0.84 * steps)]
    return [100 * (r["expected_reduction"] - r["target_reduction"]) for r in before]


@pytest.mark.parametrize("control, target", [("feedback", 0.8), ("lagrangian", 0.2)])
def test_expected_size_follows_the_ramp(control, target):
    encoder, record = trained(control=control, target_reduction=target)
    assert max(map(abs, errors(record))) < 1.0
    cost = encoder.units.parameters
    unit = 100 * max(cost.per_unit).item() / cost.total
    final = 100 * record[-1]["actual_reduction"]
    assert final == pytest.approx(100 * target, abs=max(0.1, unit / 2))


@pytest.mark.parametrize("control", ["feedback", "lagrangian"])
def test_few_units_are_steered_as_well(control):
    encoder, record = trained(
        control=control, locations=["conv_input"], target_reduction=0.05
    )
    assert max(map(abs, errors(record))) < 0.5


def test_macs_are_steered_to():
    encoder, record = trained(
        control="lagrangian", cost="macs", cost_frames=100, target_reduction=0.5
    )
    assert max(map(abs, errors(record))) < 1.0
    assert encoder.control.cost.name == "macs"
    assert record[-1]["actual_reduction"] == pytest.approx(0.5, abs=0.005)


def test_hard_concrete_gates_are_steered_as_well():
    _, record = trained(gate="hard_concrete", control="lagrangian")
    assert max(map(abs, errors(record))) < 1.0
    assert record[-1]["undecided_units"] == 0.0


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda weights: torch.optim.Adam(weights, lr=1e-5),
        lambda weights: torch.optim.AdamW(weights, lr=1e-4, weight_decay=0.01),
        lambda weights: torch.optim.SGD(weights, lr=1e-4, momentum=0.9),
    ],
)
def test_the_size_follows_whatever_the_learning_rate(optimizer):
    """As in a fine-tuning: with small constant rates, and few steps."""
    torch.manual_seed(0)
    task = Task(Size(16, 48, 1), dict(LATE_FREEZE, total_steps=200))
    record = train(task, 200, optimizer(task.parameters()))
    assert max(map(abs, errors(record, 200))) < 2.0
    assert max(map(abs, errors(record, 200)[-20:])) < 1.0


def test_an_error_too_large_to_follow_is_not_integrated():
    """A centre that ran away would have to come back before it could steer again."""
    config = AdaptiveDropoutConfig(total_steps=100)
    for control in ("feedback", "lagrangian"):
        pools, bounds = torch.zeros(3, dtype=torch.long), torch.tensor([0.8])
        steering = STEERING[control](config, pools, bounds)
        start = steering.integral.clone()
        for _ in range(100):
            steering.update(torch.tensor([0.4]), 0.5)
        assert torch.equal(steering.integral, start)
        for _ in range(10):
            steering.update(torch.tensor([0.01]), 0.5)
        wound = (steering.integral - start).abs()
        assert wound > 0.0
        # One of the other sign is, however large.
        steering.update(torch.tensor([-0.03]), 0.5)
        assert (steering.integral - start).abs() < wound
