"""Linear layers fitted from sums over frames."""

import pytest
import torch

from espnet_adaptive_dropout.modules.empty_layers import linear
from espnet_adaptive_dropout.pruning.repair import triangle
from espnet_adaptive_dropout.pruning.repair.least_squares import (
    STRENGTH,
    LinearSums,
    solve,
    squared_error,
)


def frames(count, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, width, generator=generator)


def layer_of(inputs, outputs, bias=True, seed=0):
    torch.manual_seed(seed)
    return linear(inputs, outputs, bias=bias)


def sums_of(inputs, targets, parts=1):
    sums = LinearSums(inputs.size(1), targets.size(1))
    for x, y in zip(inputs.chunk(parts), targets.chunk(parts)):
        sums.add(x[None], y[None])
    return sums


def solved(sums, layer, **options):
    new = layer_of(layer.in_features, layer.out_features, layer.bias is not None)
    with torch.no_grad():
        weight, bias = solve(sums, layer, **options)
        new.weight.copy_(weight)
        if bias is not None:
            new.bias.copy_(bias)
    assert all(torch.isfinite(p).all() for p in new.parameters())
    return new


def error(layer, inputs, targets):
    with torch.no_grad():
        return float((layer(inputs) - targets).norm() / targets.norm())


@pytest.mark.parametrize("bias", [True, False])
def test_what_other_inputs_give_is_recovered(bias):
    """The removed inputs are linear combinations of those that stay."""
    inputs = frames(200, 6)
    mixed = torch.cat([inputs, inputs @ frames(6, 4, seed=1)], dim=1)
    whole = layer_of(10, 3, bias=bias)
    targets = whole(mixed).detach()
    kept = layer_of(6, 3, bias=bias)
    with torch.no_grad():
        kept.weight.copy_(whole.weight[:, :6])
    assert error(kept, inputs, targets) > 0.1
    for strength, limit in ((1e-12, 1e-5), (STRENGTH, 5e-3)):
        new = solved(sums_of(inputs, targets), kept, strength=strength)
        assert error(new, inputs, targets) < limit


@pytest.mark.parametrize("bias", [True, False])
def test_the_sum_of_error_and_distance_is_minimal(bias):
    """Its gradient is zero."""
    inputs, targets = frames(50, 6) + 1.0, frames(50, 3, seed=1)
    layer = layer_of(6, 3, bias=bias)
    new = solved(sums_of(inputs, targets, parts=7), layer, strength=0.1).double()
    distance = (new.weight - layer.weight.detach().double()).square().sum()
    missing = (new(inputs.double()) - targets.double()).square().sum()
    scale = inputs.square().sum(dim=0).mean()
    (missing + 0.1 * scale * distance).backward()
    for parameter in new.parameters():
        assert parameter.grad.abs().max() < 1e-3


@pytest.mark.parametrize("rows", [3, 4, 7, 1024])
@pytest.mark.parametrize("bias", [True, False])
def test_the_solution_is_that_of_the_stacked_frames(rows, bias, monkeypatch):
    """Below the frames stand rows that ask for the present weights."""
    monkeypatch.setattr(triangle, "ROWS", rows)
    inputs, targets = frames(60, 12) + 1.0, frames(60, 3, seed=1)
    layer = layer_of(12, 3, bias=bias)
    weight, found_bias = solve(sums_of(inputs, targets, parts=5), layer, strength=0.01)
    x, y, present = inputs.double(), targets.double(), layer.weight.detach().double()
    share = (0.01 * x.square().sum(dim=0).mean()).sqrt()
    stacked = torch.cat([x, share * torch.eye(12).double()])
    if bias:
        ones = torch.cat([torch.ones(60, 1), torch.zeros(12, 1)])
        stacked = torch.cat([stacked, ones], dim=1)
    wanted = torch.cat([y, share * present.T])
    expected = torch.linalg.lstsq(stacked, wanted, driver="gelsd").solution
    assert torch.allclose(weight, expected[:12].T, rtol=1e-9, atol=1e-12)
    if bias:
        assert torch.allclose(found_bias, expected[12], rtol=1e-9, atol=1e-12)


def test_the_error_is_that_of_the_layer():
    inputs, targets, layer = frames(50, 6), frames(50, 3, seed=1), layer_of(6, 3)
    with torch.no_grad():
        found = squared_error(layer, inputs[None], targets[None])
    share = (found / float(targets.square().sum())) ** 0.5
    assert share == pytest.approx(error(layer, inputs, targets), rel=1e-5)


def test_parts_give_the_same_as_all_at_once():
    inputs, targets, layer = frames(90, 8), frames(90, 3, seed=1), layer_of(8, 3)
    first, second = (
        solve(sums_of(inputs, targets, parts=parts), layer) for parts in (1, 9)
    )
    for one, other in zip(first, second):
        assert torch.allclose(one, other, rtol=1e-12, atol=1e-12)


def test_what_is_right_stays():
    layer, inputs = layer_of(6, 3), frames(100, 6)
    new = solved(sums_of(inputs, layer(inputs).detach()), layer)
    assert torch.allclose(new.weight, layer.weight, atol=1e-6)
    assert torch.allclose(new.bias, layer.bias, atol=1e-6)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("strength", [1e-8, 1e-3, 1.0, 100.0])
@pytest.mark.parametrize("count", [1, 3, 40])
@pytest.mark.parametrize("kind", ["random", "constant", "zero", "equal"])
def test_the_error_never_grows(kind, count, strength, bias):
    """Also with fewer frames than inputs, and with inputs that say nothing."""
    inputs = dict(
        random=frames(count, 8) + 3.0,
        constant=frames(1, 8).expand(count, -1),
        zero=torch.zeros(count, 8),
        equal=frames(count, 1).expand(-1, 8),
    )[kind]
    targets, layer = frames(count, 3, seed=1), layer_of(8, 3, bias=bias)
    new = solved(sums_of(inputs, targets), layer, strength=strength)
    assert error(new, inputs, targets) <= error(layer, inputs, targets) + 1e-6


def test_a_layer_without_inputs_gets_the_mean_as_its_bias():
    targets, layer = frames(30, 3), layer_of(0, 3)
    new = solved(sums_of(torch.zeros(30, 0), targets), layer)
    assert torch.allclose(new.bias, targets.mean(dim=0), atol=1e-6)
    assert new.weight.shape == (3, 0)


def test_targets_of_zero():
    inputs, targets, layer = frames(30, 4), torch.zeros(30, 3), layer_of(4, 3)
    new = solved(sums_of(inputs, targets), layer)
    with torch.no_grad():
        assert squared_error(new, inputs, targets) < squared_error(
            layer, inputs, targets
        )
