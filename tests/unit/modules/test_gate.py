import pytest
import torch

from espnet_adaptive_dropout.modules.gate import (
    SATURATED_LOGIT,
    AdaptiveDropout,
    sample_gumbel_sigmoid,
    sample_hard_concrete,
)


def test_sampling_frequency_is_the_retention_probability():
    torch.manual_seed(0)
    logits = torch.tensor([-2.0, 0.0, 1.5]).expand(20000, 3)
    frequency = sample_gumbel_sigmoid(logits).mean(dim=0)
    assert torch.allclose(frequency, torch.sigmoid(logits[0]), atol=0.015)


def test_hard_samples_are_exactly_zero_or_one_with_the_soft_gradient():
    logits = torch.linspace(-3, 3, 50, requires_grad=True)
    gradients = []
    for hard in (True, False):
        torch.manual_seed(1)
        sample = sample_gumbel_sigmoid(logits, 0.7, hard)
        if hard:
            assert set(sample.unique().tolist()) <= {0.0, 1.0}
        else:
            assert ((sample > 0) & (sample < 1)).all()
        gradients.append(torch.autograd.grad(sample.sum(), logits)[0])
    assert torch.equal(*gradients)
    assert gradients[0].abs().min() > 0


def test_lower_temperature_is_sharper():
    logits = torch.zeros(1000)
    spread = []
    for temperature in (2.0, 0.1):
        torch.manual_seed(0)
        soft = sample_gumbel_sigmoid(logits, temperature, hard=False)
        spread.append((soft - 0.5).abs().mean())
    assert spread[1] > spread[0] + 0.2


def test_every_utterance_has_a_mask_of_its_own():
    gate = AdaptiveDropout(8, initial_logit=0.0)
    assert gate.mask((4, 5, 8), torch.float32).shape == (4, 1, 8)
    torch.manual_seed(0)
    output = gate(torch.ones(4, 5, 8))
    assert (output == output[:, :1]).all()
    assert not (output == output[:1]).all()


def test_evaluation_decides_at_one_half():
    gate = AdaptiveDropout(3).eval()
    gate.set_logits(torch.tensor([-0.1, 0.1, 5.0]))
    x = torch.full((2, 4, 3), 3.0)
    assert torch.equal(gate(x), x * torch.tensor([0.0, 1.0, 1.0]))


def test_saturated_logits_sample_their_decision_and_get_no_gradient():
    gate = AdaptiveDropout(2)
    gate.set_logits(torch.tensor([SATURATED_LOGIT, -SATURATED_LOGIT]))
    leaf = gate.require_gradient()
    for _ in range(200):
        mask = gate.mask((50, 1, 2), torch.float32)
        assert torch.equal(mask, torch.tensor([1.0, 0.0]).expand(50, 1, 2))
    mask.sum().backward()
    assert leaf.grad.abs().max() < 1e-15


def test_mask_has_the_dtype_of_the_activations():
    gate = AdaptiveDropout(4)
    assert gate(torch.ones(2, 3, 4, dtype=torch.bfloat16)).dtype == torch.bfloat16
    assert gate.eval()(torch.ones(2, 3, 4, dtype=torch.float16)).dtype == torch.float16


def test_espnet_initialisation_leaves_the_logits():
    from espnet2.torch_utils.initialize import initialize

    gate = AdaptiveDropout(4, initial_logit=2.0)
    initialize(torch.nn.ModuleList([gate, torch.nn.Linear(2, 2)]), "xavier_uniform")
    assert torch.equal(gate.logits, torch.full((4,), 2.0))


def test_hard_concrete_keeps_a_unit_as_often_as_a_bernoulli_gate():
    torch.manual_seed(0)
    logits = torch.tensor([-2.0, 0.0, 1.5]).expand(20000, 3)
    samples = sample_hard_concrete(logits, 2.0 / 3.0)
    assert samples.min() == 0.0 and samples.max() == 1.0
    assert ((samples > 0) & (samples < 1)).float().mean() > 0.1
    kept = (samples > 0).float().mean(dim=0)
    assert torch.allclose(kept, torch.sigmoid(logits[0]), atol=0.015)


def test_hard_concrete_gate_is_exact_when_saturated_and_learns_before():
    gate = AdaptiveDropout(2, distribution="hard_concrete", temperature=2.0 / 3.0)
    gate.set_logits(torch.tensor([-SATURATED_LOGIT, SATURATED_LOGIT]))
    samples = gate(torch.ones(500, 3, 2))
    assert torch.equal(samples[..., 0], torch.zeros(500, 3))
    assert torch.equal(samples[..., 1], torch.ones(500, 3))
    gate.set_logits(torch.zeros(2))
    leaf = gate.require_gradient()
    gate(torch.ones(500, 3, 2)).sum().backward()
    assert (leaf.grad > 0).all()


def test_shift_moves_samples_and_not_decisions():
    gate = AdaptiveDropout(2)
    gate.set_logits(torch.tensor([-SATURATED_LOGIT, SATURATED_LOGIT]))
    gate.shift = 2 * SATURATED_LOGIT
    assert torch.equal(gate(torch.ones(9, 2, 2)), torch.ones(9, 2, 2))
    decided = gate.eval()(torch.ones(1, 1, 2))
    assert decided.flatten().tolist() == [0.0, 1.0]


def test_deterministic_gate_decides_in_training_with_the_gradient_of_p():
    gate = AdaptiveDropout(3, forward="deterministic", temperature=0.5)
    gate.set_logits(torch.tensor([-0.5, 0.5, 2.0]))
    leaf = gate.require_gradient()
    x = torch.full((2, 4, 3), 3.0)
    for _ in range(5):
        output = gate(x)
        assert torch.equal(output, x * torch.tensor([0.0, 1.0, 1.0]))
    output.sum().backward()
    p = torch.sigmoid(gate.logits / 0.5)
    expected = 2 * 4 * 3.0 * p * (1 - p) / 0.5
    assert torch.allclose(leaf.grad, expected)
    gate.shift = 1.0
    assert torch.equal(gate(x), x)


@pytest.mark.parametrize("phase", ["open", "sampled", "decided"])
@pytest.mark.parametrize("forward", ["hard", "deterministic"])
def test_ordinary_dropout_acts_in_training_while_nothing_is_sampled(forward, phase):
    gate = AdaptiveDropout(3, 60.0, forward=forward, dropout_rate=0.25)
    gate.phase = phase
    linear = torch.nn.Linear(3, 3, bias=False)
    torch.nn.init.eye_(linear.weight)
    x = torch.ones(50, 40, 3)
    samples = forward == "hard" and phase == "sampled"
    for call in (gate, lambda x: gate.apply_layer(linear, x)):
        dropped = (call(x) == 0).float().mean().item()
        assert dropped == pytest.approx(0.0 if samples else 0.25, abs=0.03)
    gate.eval()
    assert torch.equal(gate(x), x) and torch.equal(gate.apply_layer(linear, x), x)


def test_open_gates_keep_all_and_decided_ones_follow_the_logits():
    gate = AdaptiveDropout(3)
    gate.set_logits(torch.tensor([-5.0, 0.1, 3.0]))
    x = torch.full((2, 4, 3), 3.0)
    gate.phase = "open"
    assert torch.equal(gate(x), x) and gate.is_open
    gate.phase = "decided"
    assert torch.equal(gate(x), x * torch.tensor([0.0, 1.0, 1.0]))
    gate.shift = -1.0
    assert torch.equal(gate(x), x * torch.tensor([0.0, 0.0, 1.0]))
    assert not gate.mask(x.shape, x.dtype).requires_grad
    gate.phase = "open"
    gate.eval()
    assert torch.equal(gate(x), x * torch.tensor([0.0, 1.0, 1.0])) and not gate.is_open
