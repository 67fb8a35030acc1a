"""The convolutions of the input layer, piece by piece."""

import copy

import pytest
import torch
from espnet2.asr.encoder.conformer_encoder import ConformerEncoder

from espnet_adaptive_dropout.modules.subsampling import (
    InputConvolutions,
    replace_convolutions,
)
from espnet_adaptive_dropout.report.memory import peak_bytes

INPUT_LAYERS = ("conv2d", "conv2d1", "conv2d2", "conv2d6", "conv2d8")


def stock_and_ours(input_layer, channels=8):
    torch.manual_seed(0)
    encoder = ConformerEncoder(80, channels, 2, 8, 1, input_layer=input_layer)
    ours = copy.deepcopy(encoder.embed)
    replace_convolutions(ours)
    assert isinstance(ours.conv, InputConvolutions)
    assert set(ours.state_dict()) == set(encoder.embed.state_dict())
    return encoder.embed.conv.eval(), ours.conv.eval()


@pytest.mark.parametrize("input_layer", INPUT_LAYERS)
@torch.no_grad()
def test_pieces_are_those_of_the_whole(input_layer):
    stock, ours = stock_and_ours(input_layer)
    ours.rows = 8
    calls = []
    ours[0].register_forward_pre_hook(lambda module, args: calls.append(1))
    for utterances in (1, 3):
        x = torch.randn(utterances, 1, 200, 80)
        for frames in (15, 16, *range(95, 119), 200):
            calls.clear()
            expected, actual = stock(x[:, :, :frames]), ours(x[:, :, :frames])
            assert torch.allclose(actual, expected, atol=1e-6)
            assert len(calls) == -(-expected.size(2) // 8)


@torch.no_grad()
def test_rows_are_shared_by_the_utterances_of_a_batch():
    _, ours = stock_and_ours("conv2d")
    calls = []
    ours[0].register_forward_pre_hook(lambda module, args: calls.append(1))
    frames = 4 * 64 + 3  # 64 rows
    for utterances, expected in ((1, 1), (2, 2), (8, 8), (20, 8)):
        calls.clear()
        ours(torch.randn(utterances, 1, frames, 80))
        assert len(calls) == expected


@torch.no_grad()
def test_memory_between_the_convolutions_does_not_grow():
    _, ours = stock_and_ours("conv2d")
    x = torch.randn(1, 1, 2000, 80)
    output = ours(x)
    extra = peak_bytes(lambda: ours(x), [x, *ours.parameters()])
    ours.rows = None
    whole = peak_bytes(lambda: ours(x), [x, *ours.parameters()])
    between = 8 * 999 * 39 * 4
    assert whole >= between + output.nbytes
    assert extra < 0.2 * between + 2 * output.nbytes


@pytest.mark.parametrize("training", [True, False])
def test_gradients_are_those_of_the_whole(training):
    stock, ours = stock_and_ours("conv2d")
    stock.train(training), ours.train(training)
    ours.rows = 8
    found = []
    for layers in (stock, ours):
        layers(torch.ones(2, 1, 200, 80)).square().sum().backward()
        found.append([parameter.grad for parameter in layers.parameters()])
    for expected, actual in zip(*found):
        assert torch.allclose(actual, expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_too_short_for_the_convolutions_ends_as_in_espnet():
    for layers in stock_and_ours("conv2d"):
        with pytest.raises(RuntimeError, match="Kernel size"):
            layers(torch.randn(1, 1, 4, 80))
