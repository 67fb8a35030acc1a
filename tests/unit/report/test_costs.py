import pytest
import torch
from espnet2.asr.encoder.conformer_encoder import ConformerEncoder
from support.encoders import SMALL, adaptive, batch

from espnet_adaptive_dropout.experiments.features import Inputs
from espnet_adaptive_dropout.experiments.sizes import macs, parameters
from espnet_adaptive_dropout.report.costs import (
    PARTS,
    REST,
    macs_by_part,
    measure_costs,
    parameters_by_part,
    time_in_turns,
)
from espnet_adaptive_dropout.report.memory import activation_bytes, weight_bytes


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return ConformerEncoder(**SMALL, macaron_style=True).eval()


def test_parts_add_up_to_the_whole(encoder):
    counts = parameters_by_part(encoder)
    assert sum(counts.values()) == parameters(encoder)
    products = macs_by_part(encoder, Inputs(*batch()))
    assert sum(products.values()) == macs(encoder, Inputs(*batch()))
    assert set(counts) == set(products) == set(PARTS)


def test_parts_are_those_of_the_modules(encoder):
    counts = parameters_by_part(encoder)
    assert counts["subsampling"] == parameters(encoder.embed)
    feed_forward = [layer.feed_forward for layer in encoder.encoders]
    feed_forward += [layer.feed_forward_macaron for layer in encoder.encoders]
    assert counts["feed-forward"] == sum(map(parameters, feed_forward))
    hidden, size, blocks, frames = 24, 16, 2, 16
    products = macs_by_part(encoder, Inputs(*batch()))
    modules = 2 * blocks  # two in every block
    expected = modules * 3 * frames * 2 * hidden * size  # three utterances
    assert products["feed-forward"] == expected
    assert products[REST] == 0


def test_gates_are_not_counted():
    gated = adaptive(SMALL)
    stock = ConformerEncoder(**SMALL)
    assert parameters_by_part(gated) == parameters_by_part(stock)


class Steps(torch.nn.Module):
    """Makes 400, then 800 bytes, gives the former up, and makes 1600."""

    def forward(self, x, lengths):
        first = x + 1  # 400 bytes
        second = torch.cat([first, first])  # 800 more
        del first
        view = second.view(2, -1)  # no memory of its own
        return torch.cat([view, view])  # 1600 more


def test_peak_memory_counts_what_is_alive_at_once():
    assert (
        activation_bytes(Steps(), Inputs(torch.zeros(100), torch.tensor([1])))
        == 800 + 1600
    )


def test_weights_are_not_activations(encoder):
    assert weight_bytes(encoder) >= 4 * parameters(encoder)
    weights = torch.nn.Parameter(torch.zeros(1000))

    class Sum(torch.nn.Module):
        def forward(self, x, lengths):
            return (weights.view(10, 100) @ x).view(-1)

    module = Sum()
    module.weights = weights
    assert activation_bytes(module, Inputs(torch.zeros(100), torch.tensor([1]))) == 40


def test_times_have_a_median_and_a_spread(encoder):
    timings = time_in_turns({"a": encoder, "b": encoder}, Inputs(*batch()), 3)
    for timing in timings.values():
        assert 0.0 < timing.low <= timing.total <= timing.high
        assert timing.rounds == 3
        assert all(timing.parts[part] > 0.0 for part in PARTS)


def test_times_are_measured_only_when_asked_for(encoder):
    (costs,) = measure_costs({"a": encoder}, Inputs(*batch())).values()
    assert costs.timing is None
    assert not encoder.embed._forward_hooks
    (costs,) = measure_costs({"a": encoder}, Inputs(*batch()), rounds=1).values()
    assert costs.timing is not None and costs.timing.rounds == 1
