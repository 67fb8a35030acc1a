"""What the certificate sees and what it lets pass."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch

from espnet_adaptive_dropout.experiments.features import Inputs
from espnet_adaptive_dropout.pruning.certificate.certificate import (
    ROUNDING,
    _with_gradients,
    certify,
    random_inputs,
)
from espnet_adaptive_dropout.report.memory import peak_bytes


class Encoder(torch.nn.Module):
    """Its output, where asked with that of an intermediate layer."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(64, 8)
        self.shorter = 0

    def forward(self, features, lengths, ctc=None):
        output = self.layer(features)
        if ctc is not None:
            output = (output + ctc(output), [output])
        return output, lengths - self.shorter, None


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return Encoder().eval()


def inputs(**options):
    torch.manual_seed(1)
    return Inputs(torch.randn(2, 5, 64), torch.tensor([5, 3]), options)


def reordered(encoder):
    """The same function, summed in another order."""
    other = copy.deepcopy(encoder)
    order = torch.randperm(64)
    other.layer.weight.data = encoder.layer.weight.data[:, order]
    other.layer.register_forward_pre_hook(lambda module, x: (x[0][..., order],))
    return other


def test_rounding_is_told_from_mistakes(encoder):
    certificate = certify(encoder, reordered(encoder), inputs(), 1e-9)
    assert certificate.holds
    assert certificate.largest_difference < 1e-14 < 1e-9 < certificate.rounding
    assert (certificate.utterances, certificate.frames) == (2, 8)
    assert certificate.dtype == "float32"
    assert encoder.layer.weight.dtype == torch.float32
    assert certificate.random_utterances == 2
    assert certificate.rounding < ROUNDING * certificate.largest_output


def test_a_mistake_of_the_size_of_rounding_is_seen(encoder):
    wrong = copy.deepcopy(encoder)
    wrong.layer.bias.data[3] += 1e-6
    certificate = certify(encoder, wrong, inputs(), 1e-9)
    assert certificate.largest_difference == pytest.approx(1e-6, rel=0.1)
    assert not certificate.holds


def test_a_mistake_in_single_precision_alone_is_seen(encoder):
    def wrong_in_float32(module, args, output):
        return output + (2 * ROUNDING * 10 if output.dtype == torch.float32 else 0)

    wrong = copy.deepcopy(encoder)
    wrong.layer.register_forward_hook(wrong_in_float32)
    certificate = certify(encoder, wrong, inputs(), 1e-9)
    assert certificate.largest_difference == 0
    assert not certificate.holds


def test_padding_does_not_count(encoder):
    def wrong_in_padding(module, args, output):
        output[1, 3:] = 100
        return output

    wrong = copy.deepcopy(encoder)
    wrong.layer.register_forward_hook(wrong_in_padding)
    assert certify(encoder, wrong, inputs(), 1e-9).holds


def test_other_lengths_do_not_pass(encoder):
    wrong = copy.deepcopy(encoder)
    wrong.shorter = 1
    certificate = certify(encoder, wrong, inputs(), 1e-9)
    assert certificate.largest_difference == float("inf")
    assert not certificate.holds


def test_modules_among_the_options_follow(encoder):
    ctc = torch.nn.Linear(8, 8)
    certificate = certify(encoder, reordered(encoder), inputs(ctc=ctc), 1e-9)
    assert certificate.holds and certificate.largest_difference < 1e-12
    assert ctc.weight.dtype == torch.float32


def test_shared_and_recently_used_weights_come_back(encoder):
    """Of modules that cannot be copied after a pass with gradients."""
    encoder.last = encoder(*inputs())[0]
    encoder.same = encoder.layer
    encoder.register_buffer("count", torch.tensor(3))
    encoder.register_buffer("wide", torch.tensor([0.1], dtype=torch.float64))
    before = copy.deepcopy(encoder.state_dict())
    assert certify(encoder, encoder, inputs(), 1e-9).largest_difference == 0
    for name, value in encoder.state_dict().items():
        assert value.dtype == before[name].dtype
        assert torch.equal(value, before[name])


def test_not_a_number_does_not_pass(encoder):
    certificate = certify(encoder, encoder, inputs(), 1e-9)
    assert certificate.holds
    for name in ("largest_difference", "rounding"):
        unknown = dataclasses.replace(certificate, **{name: float("nan")})
        assert not unknown.holds


class Changed(torch.nn.Module):
    """Another output under some condition."""

    def __init__(self, encoder, condition):
        super().__init__()
        self.encoder, self.condition = encoder, condition
        self.rows = 128

    def forward(self, features, lengths):
        output, lengths, _ = self.encoder(features, lengths)
        return output + 1e-3 * float(self.condition(self, features)), lengths, None


@pytest.mark.parametrize(
    "condition",
    [
        lambda encoder, x: x.abs().max() > 8.0,  # silent on the real features
        lambda encoder, x: torch.is_grad_enabled() and x.requires_grad,
        lambda encoder, x: encoder.rows < x.size(1),
    ],
    ids=["silent units", "training", "long utterances"],
)
def test_what_real_data_on_a_cpu_do_not_show(encoder, condition):
    wrong = Changed(encoder, condition)
    features = torch.randn(2, 12, 64, generator=torch.Generator().manual_seed(1))
    real = Inputs(features, torch.tensor([12, 9]))
    assert torch.equal(wrong(*real)[0], encoder(*real)[0])
    certificate = certify(encoder, wrong, real, 1e-9)
    assert certificate.largest_difference == pytest.approx(1e-3)
    assert not certificate.holds and wrong.rows == 128


def test_random_features_keep_the_form_of_the_real_ones():
    real = Inputs(torch.randn(5, 400, 8), torch.tensor([400, 300, 30, 30, 9]))
    random = random_inputs(real)
    assert random.lengths.tolist() == [160, 80, 30, 20, 9]
    assert random.features.shape == (5, 160, 8)
    early, late = random.features[:, :40].std(), random.features[:, 120:].std()
    assert early < 0.5 and late > 3.0
    text = Inputs(torch.tensor([[3, 1, 4], [1, 5, 0]]), torch.tensor([3, 2]))
    random = random_inputs(text)
    assert random.lengths.tolist() == [3, 2] and random.features.max() <= 5
    assert random.features.dtype == torch.long


def test_both_ways_of_evaluating_are_compared(encoder):
    """A CPU without gradients computes a compact encoder in another way."""
    compact, with_gradients = reordered(encoder), []
    compact.register_forward_pre_hook(
        lambda module, x: with_gradients.append(torch.is_grad_enabled())
    )
    certify(encoder, compact, inputs(), 1e-9)
    assert with_gradients == [False, False, False, True] * 2


def test_gradients_that_nobody_asks_for_take_no_memory(encoder):
    x = torch.randn(1000, requires_grad=True)

    def run():
        with _with_gradients(encoder):
            y = x
            for _ in range(20):
                y = y.sin()  # keeps its input for the backward pass
        assert y.requires_grad

    assert peak_bytes(run, [x]) < 4 * x.numel() * x.element_size()
