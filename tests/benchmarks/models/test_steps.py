"""The commands that a run consists of."""

from __future__ import annotations

import torch
from espnet2.asr.encoder.conformer_encoder import ConformerEncoder
from support.encoders import SMALL

from benchmarks.models.steps import relative_to_survivors
from espnet_adaptive_dropout.pruning.criteria import relative_to_group
from espnet_adaptive_dropout.units.table import UnitTable


def test_survivors_of_a_thinned_group_do_not_gain():
    table = UnitTable(ConformerEncoder(**SMALL))
    sizes = torch.ones(table.num_units)
    thinned = table.groups[0]
    sizes[thinned.start : thinned.start + thinned.num_units // 2] = 0.0
    scores = relative_to_group(table, sizes)
    assert scores.max() > 1.5
    scores = relative_to_survivors(table, scores)
    alive = sizes > 0
    assert torch.allclose(scores[alive], torch.ones(int(alive.sum())))
    assert (scores[~alive] == 0).all()
