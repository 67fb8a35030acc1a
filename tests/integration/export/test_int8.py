import pytest
import torch
from support.encoders import adaptive, batch, compact_of, options_of, random_keep

from espnet_adaptive_dropout.export.int8 import quantize


def compact(share, subsampling=False):
    """With this share of its units; where asked, with the whole subsampling."""
    options = options_of("latest")
    encoder = adaptive(options)
    keep = random_keep(encoder.units, share)
    for group in encoder.units.groups:
        if subsampling and group.block is None:
            keep[group.span] = True
    return compact_of(encoder, options, keep)


@torch.no_grad()
def test_it_computes_what_espnet_does_with_quantize_asr_model():
    encoder = compact(0.5)
    theirs = torch.ao.quantization.quantize_dynamic(
        compact(0.5), qconfig_spec={torch.nn.Linear}, dtype=torch.qint8
    )
    expected, actual = theirs(*batch())[0], quantize(encoder)(*batch())[0]
    assert torch.equal(expected, actual)


@torch.no_grad()
@pytest.mark.parametrize(
    "share, subsampling", [(0.0, False), (0.0, True), (0.5, False)]
)
def test_the_encoder_stays_in_float32(share, subsampling):
    encoder = compact(share, subsampling)
    before = encoder(*batch())[0]
    quantised = quantize(encoder)
    assert torch.equal(encoder(*batch())[0], before)
    assert not any("quantized" in type(m).__module__ for m in encoder.modules())
    found = any("quantized" in type(m).__module__ for m in quantised.modules())
    assert found == (share > 0.0 or subsampling)
    difference = (quantised(*batch())[0] - before).abs().max()
    assert difference < 0.1 * before.abs().max()
