"""Torch-Pruning's choice, cut and trained as an ESPnet encoder."""

from __future__ import annotations

import pytest
import torch
from espnet2.asr.encoder.conformer_encoder import ConformerEncoder
from support.encoders import SMALL

from benchmarks.models import torch_prune
from espnet_adaptive_dropout.encoders.compact import CompactConformerEncoder
from espnet_adaptive_dropout.experiments.features import Inputs
from espnet_adaptive_dropout.units.surgery import narrow_all

ENCODER = dict(SMALL, linear_units=64, rel_pos_type="latest", macaron_style=True)


class Model(torch.nn.Module):
    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder


@pytest.fixture
def full():
    torch.manual_seed(0)
    model = Model(ConformerEncoder(**ENCODER)).eval()
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_()
    return model


def inputs(frames=60):
    return Inputs(torch.randn(1, frames, 20), torch.tensor([frames]), {})


def some_kept(full):
    """An arbitrary choice with the same number in every head."""
    removed = {}
    for block in range(2):
        removed[(block, "ffn")] = [0, 7, 8, 30 + block]
        removed[(block, "attention")] = [0, 5, 9, 14] if block else []
        removed[(block, "conv_channel")] = [3, 4, 11]
    return torch_prune.kept_units(full, removed)


def narrow_model(full, keep):
    conf = {k: v for k, v in ENCODER.items() if k != "input_size"}
    options = torch_prune.narrow_options(full, dict(encoder_conf=conf), keep)
    return Model(CompactConformerEncoder(20, **options["encoder_conf"]))


def test_narrow_encoder_computes_what_the_full_one_with_zeros_does(full):
    keep = some_kept(full)
    narrow = narrow_model(full, keep)
    cuts = torch_prune.cuts_of(full, keep)
    narrow.load_state_dict(narrow_all(full.state_dict(), cuts))
    assert torch_prune.largest_difference(full, narrow, cuts, inputs()) < 1e-5


def test_parameters_are_counted(full):
    keep = some_kept(full)
    narrow = narrow_model(full, keep)
    expected = sum(p.numel() for p in narrow.encoder.parameters())
    assert torch_prune.narrow_parameters(full, keep) == expected


def test_the_ratio_that_gives_the_size_is_found(full):
    pytest.importorskip("torch_pruning", reason="optional: pip install torch-pruning")
    from benchmarks.models.torch_units import UnitChooser

    example = inputs()
    chooser = UnitChooser(full.encoder, (example.features, example.lengths))
    keep, ratio, reduction = torch_prune.choose(chooser, full, 0.3)
    assert reduction == pytest.approx(0.3, abs=0.03)
    for block in keep:
        assert 0 < len(block["attention"]) < 16
        assert 0 < len(block["conv_channel"]) < 16
        per_head = [
            sum(unit // 4 == h for unit in block["attention"]) for h in range(4)
        ]
        assert len(set(per_head)) == 1
    with pytest.raises(ValueError, match="can remove .* at most here, not 99.0%"):
        torch_prune.choose(chooser, full, 0.99)
