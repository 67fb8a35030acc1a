"""A training that goes on at other widths."""

from __future__ import annotations

import pytest
import torch
from espnet2.asr.encoder.conformer_encoder import ConformerEncoder
from support.encoders import SMALL

from benchmarks.models import training_state as ts
from espnet_adaptive_dropout.encoders.compact import CompactConformerEncoder
from espnet_adaptive_dropout.units.surgery import narrow_all
from espnet_adaptive_dropout.units.table import UnitTable
from espnet_adaptive_dropout.units.widths import compact_options

ENCODER = dict(SMALL, rel_pos_type="latest", macaron_style=True)


class Model(torch.nn.Module):
    """An encoder and something behind it, as in an ESPnet model."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder
        self.ctc = torch.nn.Linear(16, 5)

    def loss(self, features):
        lengths = torch.full((len(features),), features.size(1))
        return self.ctc(self.encoder(features, lengths)[0]).square().mean()


@pytest.fixture
def pruned():
    """A trained full model, a plan and the narrow model."""
    torch.manual_seed(0)
    full = Model(ConformerEncoder(**ENCODER))
    table = UnitTable(full.encoder)
    keep = table.without_unused(torch.rand(table.num_units) > 0.4)
    narrow = Model(CompactConformerEncoder(**ENCODER, **compact_options(table, keep)))
    return full, keep, narrow


def trained(model, steps=3):
    """A checkpoint of ESPnet's form after some steps."""
    torch.manual_seed(1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        model.loss(torch.randn(2, 40, 20)).backward()
        optimizer.step()
    return dict(
        model=model.state_dict(),
        optimizers=[optimizer.state_dict()],
        schedulers=[dict(last_epoch=steps)],
        reporter=dict(epoch=6, stats={5: "scores", 6: "scores"}),
        scaler=None,
    )


def cut(checkpoint, full, narrow, cuts):
    return ts.resized(checkpoint, full, narrow, lambda state: narrow_all(state, cuts))


def test_moments_go_with_their_weights(pruned):
    full, keep, narrow = pruned
    cuts = ts.cuts(full, keep)
    checkpoint = trained(full)
    # a moment that equals its weight shows whether both are cut alike
    for number, parameter in enumerate(full.parameters()):
        state = checkpoint["optimizers"][0]["state"][number]
        state["exp_avg"] = parameter.detach().clone()
    new = cut(checkpoint, full, narrow, cuts)
    narrow.load_state_dict(new["model"])
    optimizer = torch.optim.Adam(narrow.parameters(), lr=0.01)
    optimizer.load_state_dict(new["optimizers"][0])
    for parameter in narrow.parameters():
        assert torch.equal(optimizer.state[parameter]["exp_avg"], parameter)
        assert optimizer.state[parameter]["step"] == 3
    narrow.loss(torch.randn(2, 40, 20)).backward()
    optimizer.step()


def test_clock_stays_and_old_scores_go(pruned):
    full, keep, narrow = pruned
    new = cut(trained(full), full, narrow, ts.cuts(full, keep))
    assert new["reporter"] == dict(epoch=6, stats={})
    assert new["schedulers"] == [dict(last_epoch=3)]


def test_narrow_model_computes_what_the_widened_one_does(pruned):
    full, keep, narrow = pruned
    cuts = ts.cuts(full, keep)
    narrow.load_state_dict(cut(trained(full), full, narrow, cuts)["model"])
    wide = ts.widen(narrow.state_dict(), cuts, full.state_dict())
    full.load_state_dict(wide)
    features = torch.randn(2, 40, 20)
    with torch.no_grad():
        expected, actual = full.eval().loss(features), narrow.eval().loss(features)
    assert actual.item() == pytest.approx(expected.item(), abs=1e-6)


def test_cut_and_widened_is_the_same_with_zeros(pruned):
    full, keep, narrow = pruned
    cuts = ts.cuts(full, keep)
    state = full.state_dict()
    wide = ts.widen(narrow_all(state, cuts), cuts, state)
    kept = 0
    for name, tensor in wide.items():
        assert torch.equal(tensor, torch.where(tensor == 0, tensor, state[name]))
        kept += int((tensor != 0).sum())
    assert 0 < kept < sum(int((tensor != 0).sum()) for tensor in state.values())


def test_several_parameter_groups_are_refused(pruned):
    full, keep, narrow = pruned
    checkpoint = trained(full)
    groups = checkpoint["optimizers"][0]["param_groups"]
    groups.append(dict(groups[0], params=[]))
    with pytest.raises(ValueError, match="several parameter groups"):
        cut(checkpoint, full, narrow, ts.cuts(full, keep))
