import pytest
import torch
from support.encoders import adaptive, batch, compact_of, options_of, random_keep

from espnet_adaptive_dropout.export.int8 import quantize


def compact(share):
    options = options_of("latest")
    encoder = adaptive(options)
    return compact_of(encoder, options, random_keep(encoder.units, share))


@torch.no_grad()
def test_it_computes_what_espnet_does_with_quantize_asr_model():
    encoder = compact(0.5)
    theirs = torch.ao.quantization.quantize_dynamic(
        compact(0.5), qconfig_spec={torch.nn.Linear}, dtype=torch.qint8
    )
    expected, actual = theirs(*batch())[0], quantize(encoder)(*batch())[0]
    assert torch.equal(expected, actual)


@torch.no_grad()
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_the_encoder_stays_in_float32(share):
    encoder = compact(share)
    before = encoder(*batch())[0]
    quantised = quantize(encoder)
    assert torch.equal(encoder(*batch())[0], before)
    assert not any("quantized" in type(m).__module__ for m in encoder.modules())
    difference = (quantised(*batch())[0] - before).abs().max()
    assert difference < 0.1 * before.abs().max()
