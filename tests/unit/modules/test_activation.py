import pytest
import torch
from support.encoders import SMALL, adaptive, compact_of, stock_of

from espnet_adaptive_dropout import compat
from espnet_adaptive_dropout.modules.activation import fuse_swish


def kinds(encoder):
    return {type(module) for module in encoder.modules()}


def activations(encoder):
    return [
        module.activation
        for name, module in encoder.named_modules()
        if name.endswith(("feed_forward", "feed_forward_macaron", "conv_module"))
    ]


def test_silu_is_swish_in_both_encoders():
    options = dict(SMALL, macaron_style=True)
    gated = adaptive(options)
    assert compat.Swish in kinds(stock_of(gated, options))
    compact = compact_of(
        gated, options, torch.ones(gated.units.num_units, dtype=torch.bool)
    )
    for encoder in (gated, compact):
        assert compat.Swish not in kinds(encoder)
        assert {type(part) for part in activations(encoder)} == {torch.nn.SiLU}
        assert len(activations(encoder)) == 3 * SMALL["num_blocks"]


def test_without_gates_the_encoder_stays_espnets():
    assert compat.Swish in kinds(adaptive(dict(SMALL), locations=[]))


def test_other_activations_stay():
    encoder = adaptive(dict(SMALL, activation_type="relu"))
    assert {type(part) for part in activations(encoder)} == {torch.nn.ReLU}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_fused_swish_has_the_same_values_and_gradients(dtype):
    x = torch.linspace(-90, 90, 1001, dtype=dtype, requires_grad=True)
    stock = torch.nn.Sequential(compat.Swish())
    expected = stock(x)
    (gradient,) = torch.autograd.grad(expected.sum(), x)
    fuse_swish(stock)
    assert isinstance(stock[0], torch.nn.SiLU)
    actual = stock(x)
    torch.testing.assert_close(actual, expected)
    torch.testing.assert_close(torch.autograd.grad(actual.sum(), x)[0], gradient)
