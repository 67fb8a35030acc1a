"""The size that the control steers an encoder to, in trainings of seconds."""

import copy

import pytest
import torch
from support.encoders import adaptive, batch, options_of
from support.tiny_training import LATE_FREEZE

STEPS = 160


def train(encoder, steps, optimizer=None, record=None):
    """Fit the encoder to a fixed random target: a task that needs its units."""
    encoder.train()
    features, lengths = batch()
    if optimizer is None:
        optimizer = torch.optim.Adam(encoder.parameters(), lr=3e-3)
    with torch.no_grad():
        shape = encoder(features, lengths)[0].shape
    target = torch.randn(shape, generator=torch.Generator().manual_seed(9))
    for _ in range(steps):
        torch.manual_seed(int(encoder.control.step))
        output = encoder(features, lengths)[0]
        loss = (output - target).square().sum() / len(lengths)
        stats = encoder.regularise(loss)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if record is not None:
            values = {name: value.item() for name, value in stats.items()}
            record.append({**values, "final": encoder.size_is_final})
    return optimizer


def controlled(**conf):
    defaults = dict(control="feedback", target_reduction=0.4, total_steps=STEPS)
    return adaptive(options_of("latest"), **{**defaults, **LATE_FREEZE, **conf})


@pytest.fixture(scope="module")
def whole():
    """A trained encoder, and what was recorded of each step."""
    encoder, record = controlled(), []
    train(encoder, STEPS, record=record)
    return encoder, record


def test_feedback_follows_the_ramp_and_the_freeze_gives_the_size(whole):
    encoder, record = whole
    before = record[int(0.10 * STEPS) : int(0.84 * STEPS)]
    errors = [abs(r["expected_reduction"] - r["target_reduction"]) for r in before]
    assert max(errors) < 0.05
    assert sum(errors) / len(errors) < 0.02
    cost = encoder.units.parameters
    unit = max(cost.per_unit).item() / cost.total
    assert record[-1]["actual_reduction"] == pytest.approx(0.4, abs=unit)
    assert record[-1]["undecided_units"] == 0.0
    assert record[-1]["retention_penalty"] == 0.0
    frozen_in = int(0.85 * STEPS)
    assert not any(step["final"] for step in record[:frozen_in])
    assert all(step["final"] for step in record[frozen_in + 1 :])


def test_freeze_keeps_the_order_of_the_logits():
    encoder = controlled()
    generator = torch.Generator().manual_seed(0)
    before = torch.randn(encoder.units.num_units, generator=generator)
    encoder.units.set_logits(before)
    encoder.control.freeze()
    after = encoder.units.logits()
    assert after.abs().min() >= 60.0
    kept = after > 0
    for members in (kept, ~kept):
        order = before[members].argsort()
        assert (after[members][order].diff() >= 0).all()
        assert after[members].unique().numel() > 0.9 * members.sum()


@pytest.mark.parametrize("control", ["feedback", "lagrangian"])
def test_every_module_is_steered_to_the_same_share(control):
    encoder = controlled(control=control, budget="module")
    record = []
    train(encoder, int(0.8 * STEPS), record=record)
    steering, table = encoder.control.steering, encoder.units
    of_pools = encoder.control.expected_reductions(table.logits())
    share = 0.4 / steering.bounds.sum()
    assert torch.allclose(of_pools / steering.bounds, share, atol=0.05)
    encoder.control.freeze()
    cost = table.parameters
    unit = max(cost.per_unit).item() / cost.total
    assert encoder.control.actual_reduction() == pytest.approx(0.4, abs=unit)
    for group in table.groups:
        kept = table.gates[(group.block, group.location)].logits > 0
        assert 0 < kept.sum() < group.num_units


def test_interrupted_training_resumes_to_the_same_schedule(whole):
    _, once = whole
    encoder, halves = controlled(), []
    optimizer = train(encoder, STEPS // 2, record=halves)
    state, moments = encoder.state_dict(), copy.deepcopy(optimizer.state_dict())
    resumed = controlled()
    resumed.load_state_dict(state)
    optimizer = torch.optim.Adam(resumed.parameters(), lr=3e-3)
    optimizer.load_state_dict(moments)
    train(resumed, STEPS - STEPS // 2, optimizer, record=halves)
    for one, other in zip(once, halves):
        assert one["target_reduction"] == other["target_reduction"]
    assert halves[-1]["actual_reduction"] == once[-1]["actual_reduction"]
    assert float(resumed.control.step) == STEPS


def test_plain_schedule_falls_without_feedback_or_freeze():
    encoder = controlled(control="schedule", centre_first=4.0, centre_last=-60.0)
    record = []
    train(encoder, STEPS, record=record)
    centres = [r["retention_centre"] for r in record]
    assert centres[0] == 4.0
    assert centres[-1] == pytest.approx(-60.0)
    assert centres == sorted(centres, reverse=True)
    assert not encoder.control.frozen
    assert record[-1]["expected_reduction"] > record[0]["expected_reduction"] + 0.1


def test_all_state_is_float_and_survives_averaging(whole):
    encoder, _ = whole
    states = [copy.deepcopy(encoder.state_dict()) for _ in range(3)]
    for name, tensor in states[0].items():
        if "control" in name or "logits" in name:
            assert tensor.dtype == torch.float32
    average = {
        name: sum(state[name] for state in states) / 3
        if states[0][name].is_floating_point()
        else states[0][name]
        for name in states[0]
    }
    expected = encoder.control.actual_reduction()
    encoder.load_state_dict(average)
    assert encoder.control.actual_reduction() == expected
    assert encoder.size_is_final
