import pytest
import torch

from espnet_adaptive_dropout.modules.time_major import (
    DepthwiseConv,
    PointwiseConv,
    batch_norm,
)


@pytest.mark.parametrize("bias", [True, False])
def test_pointwise_is_conv1d_without_transposing(bias):
    stock = torch.nn.Conv1d(5, 7, 1, bias=bias)
    expected = stock(torch.ones(2, 5, 4).cumsum(2)).transpose(1, 2)
    conv = PointwiseConv.of(stock)
    assert conv.state_dict()["weight"].shape == (7, 5, 1)
    actual = conv(torch.ones(2, 5, 4).cumsum(2).transpose(1, 2))
    torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("time", [1, 3, 20])
def test_depthwise_is_conv1d_without_transposing(bias, time):
    stock = torch.nn.Conv1d(6, 6, 5, padding=2, groups=6, bias=bias)
    x = torch.randn(2, time, 6)
    expected = stock(x.transpose(1, 2)).transpose(1, 2)
    torch.testing.assert_close(DepthwiseConv.of(stock)(x), expected)


@pytest.mark.parametrize("bias", [True, False])
def test_normalised_is_batch_norm_after_the_convolution(bias):
    conv = DepthwiseConv.of(torch.nn.Conv1d(6, 6, 5, padding=2, groups=6, bias=bias))
    norm = torch.nn.BatchNorm1d(6)
    for _ in range(3):  # running statistics
        norm(3 * torch.randn(50, 6) + 1)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    norm.eval()
    x = torch.randn(2, 20, 6)
    torch.testing.assert_close(conv.normalised(x, norm), batch_norm(conv(x), norm))


def test_batch_norm_is_that_over_time_too():
    x = torch.randn(3, 8, 4)
    first, second = torch.nn.BatchNorm1d(4), torch.nn.BatchNorm1d(4)
    expected = first(x.transpose(1, 2)).transpose(1, 2)
    torch.testing.assert_close(batch_norm(x, second), expected)
    torch.testing.assert_close(second.running_var, first.running_var)


@pytest.mark.parametrize("channels", [0, 3])
def test_other_numbers_of_channels(channels):
    stock = torch.nn.Conv1d(6, 6, 5, padding=2, groups=6)
    conv = DepthwiseConv.of(stock, channels)
    assert conv.in_channels == channels
    assert conv.weight.shape == (channels, 1, 5) and conv.bias.shape == (channels,)
    if channels:
        assert conv(torch.randn(2, 9, channels)).shape == (2, 9, channels)
