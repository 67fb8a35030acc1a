import pytest
import torch

from espnet_adaptive_dropout.gate import (
    SATURATED_LOGIT,
    AdaptiveDropout,
    sample_gumbel_sigmoid,
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


@pytest.mark.parametrize(
    "granularity, shape",
    [("utterance", (4, 1, 8)), ("element", (4, 5, 8)), ("batch", (1, 1, 8))],
)
def test_granularity(granularity, shape):
    gate = AdaptiveDropout(8, initial_logit=0.0, granularity=granularity)
    assert gate.mask((4, 5, 8), torch.float32).shape == shape
    torch.manual_seed(0)
    output = gate(torch.ones(4, 5, 8))
    over_time = (output == output[:, :1]).all()
    over_batch = (output == output[:1]).all()
    assert bool(over_time) == (granularity != "element")
    assert bool(over_batch) == (granularity == "batch")


def test_evaluation_decides_at_one_half():
    gate = AdaptiveDropout(3).eval()
    gate.set_logits(torch.tensor([-0.1, 0.1, 5.0]))
    x = torch.full((2, 4, 3), 3.0)
    assert torch.equal(gate(x), x * torch.tensor([0.0, 1.0, 1.0]))


def test_saturated_logits_sample_their_decision_and_get_no_gradient():
    gate = AdaptiveDropout(2)
    gate.set_logits(torch.tensor([SATURATED_LOGIT, -SATURATED_LOGIT]))
    for _ in range(200):
        mask = gate.mask((50, 1, 2), torch.float32)
        assert torch.equal(mask, torch.tensor([1.0, 0.0]).expand(50, 1, 2))
    mask.sum().backward()
    assert gate.scaled_logits.grad.abs().max() < 1e-15


def test_logit_scale_moves_the_logits_faster():
    slow, fast = AdaptiveDropout(1), AdaptiveDropout(1, logit_scale=10.0)
    assert torch.allclose(slow.logits, fast.logits)
    for gate in (slow, fast):
        with torch.no_grad():
            gate.scaled_logits -= 0.1
    assert torch.allclose(slow.logits, torch.tensor([3.9]))
    assert torch.allclose(fast.logits, torch.tensor([3.0]))


def test_mask_has_the_dtype_of_the_activations():
    gate = AdaptiveDropout(4)
    assert gate(torch.ones(2, 3, 4, dtype=torch.bfloat16)).dtype == torch.bfloat16
    assert gate.eval()(torch.ones(2, 3, 4, dtype=torch.float16)).dtype == torch.float16


def test_espnet_initialisation_leaves_the_logits():
    from espnet2.torch_utils.initialize import initialize

    gate = AdaptiveDropout(4, initial_logit=2.0)
    initialize(torch.nn.ModuleList([gate, torch.nn.Linear(2, 2)]), "xavier_uniform")
    assert torch.equal(gate.logits, torch.full((4,), 2.0))
