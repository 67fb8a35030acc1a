import pytest
import torch
from support.encoders import adaptive, batch, compact_of, masked, options_of, stock_of


@pytest.fixture
def encoders():
    """Masked and compact encoder that keep two units of three."""
    options = dict(options_of("latest"), input_layer="conv2d8")
    encoder = adaptive(options)
    keep = torch.arange(encoder.units.num_units) % 3 > 0
    keep = encoder.units.without_unused(keep)
    return masked(encoder, keep), compact_of(encoder, options, keep)


def prefix(seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(3, 2, 16, generator=generator)


@torch.no_grad()
def test_prefix_comes_before_the_frames(encoders):
    features, lengths = batch()
    for encoder in encoders:
        plain, plain_lengths, _ = encoder(features, lengths)
        output, output_lengths, _ = encoder(features, lengths, prefix_embeds=prefix())
        assert torch.equal(output_lengths, plain_lengths + 2)
        assert output.shape[1] == plain.shape[1] + 2
        other, _, _ = encoder(features, lengths, prefix_embeds=prefix(2))
        assert (other - output).abs().max() > 1e-3
        # Nothing is left of it in the next call.
        assert torch.equal(encoder(features, lengths)[0], plain)


@torch.no_grad()
def test_prefix_is_what_the_subsampling_prepends():
    options = dict(options_of("latest"), input_layer="conv2d8")
    encoder = adaptive(options)
    stock = stock_of(encoder, options)
    embed = stock.embed.forward
    stock.embed.forward = lambda x, mask: embed(x, mask, prefix())
    features, lengths = batch()
    expected, expected_lengths, _ = stock(features, lengths)
    output, output_lengths, _ = encoder(features, lengths, prefix_embeds=prefix())
    assert torch.equal(output_lengths, expected_lengths)
    assert (output - expected).abs().max() <= 3e-6


@torch.no_grad()
def test_masked_and_compact_agree_with_a_prefix(encoders):
    features, lengths = batch()
    memory = dict(memory=torch.zeros(3, 4, 16), memory_mask=torch.ones(3, 1, 4) > 0)
    outputs = [
        encoder(features, lengths, prefix_embeds=prefix(), **memory)
        for encoder in encoders
    ]
    (a, lengths, _), (b, _, _) = outputs
    real = torch.arange(a.size(1))[None, :] < lengths[:, None]
    assert (a - b)[real].abs().max() < 1e-5


def test_the_hook_goes_when_the_forward_fails(encoders):
    features, lengths = batch()
    for encoder in encoders:
        with pytest.raises(RuntimeError):
            encoder(features, lengths, prefix_embeds=torch.zeros(3, 2, 5))
        encoder(features, lengths)


def test_an_input_layer_without_prefixes_is_one_line():
    encoder = adaptive(options_of("linear_input"))
    with pytest.raises(ValueError, match="input_layer: .* choose conv2d8"):
        encoder(*batch(), prefix_embeds=prefix())
