"""The encoders that are compared are what their names say."""

from __future__ import annotations

import pytest
import torch
from support.benchmark_speed import tiny_builder

from benchmarks.models import torch_prune
from benchmarks.speed.build import noise, trained_like_scores
from benchmarks.speed.choices import parse_row
from espnet_adaptive_dropout.experiments.sizes import macs, parameters
from espnet_adaptive_dropout.pruning.certificate.certificate import certify
from espnet_adaptive_dropout.pruning.trained import set_masks


@pytest.mark.parametrize(
    "name", ["stock", "gated_all", "compact", "paper_30", "all_54"]
)
def test_sizes_are_those_of_the_encoder(name):
    builder, row = tiny_builder(), parse_row(name)
    encoder = builder.model(row).encoder
    counted = builder.counts(row, 2.0)
    assert counted[0] == parameters(encoder)
    if not name.startswith("paper"):  # unequal heads may be padded
        assert counted[1] == pytest.approx(macs(encoder, noise(1, 2.0)), rel=0.02)
    total = builder.trained.table.parameters.total
    assert 1 - counted[0] / total == pytest.approx(row.target, abs=0.01)


@pytest.mark.parametrize("name", ["paper_30", "all_54"])
def test_the_compact_encoder_computes_what_the_masked_one_does(name):
    builder, row = tiny_builder(), parse_row(name)
    set_masks(builder.trained.table, builder.keep(row.choice, row.target))
    masked, compact = builder.trained.model.encoder, builder.model(row).encoder
    assert certify(masked, compact, noise(2, 2.0), 1e-9).holds


def test_the_choice_has_the_shape_of_a_training():
    table = tiny_builder().trained.table
    keep = tiny_builder().keep("paper", 0.4)
    kept = {
        (g.block, g.location): keep[g.span].float().mean().item() for g in table.groups
    }
    assert kept[0, "ffn"] < kept[2, "ffn"]
    assert kept[0, "query"] < kept[2, "query"]
    assert kept[None, "subsampling_1"] == kept[1, "conv_channel"] == 1.0
    all_locations = tiny_builder().keep("all", 0.54)
    for group in table.groups:
        if group.block is None:
            assert not all_locations[group.span].all()


def test_widths_are_multiples_where_the_choice_says_so():
    table = tiny_builder().trained.table
    keep = tiny_builder().keep("all8", 0.4)
    widths = {g.location: int(keep[g.span].sum()) for g in table.groups if g.heads == 1}
    assert all(width % 8 == 0 for width in widths.values())
    assert any(keep[g.span].sum() < g.num_units for g in table.groups)


def test_the_choice_is_the_same_every_time():
    table = tiny_builder().trained.table
    assert torch.equal(trained_like_scores(table), trained_like_scores(table))


def test_torch_prunings_choice(monkeypatch):
    monkeypatch.setattr(torch_prune, "BISECTIONS", 6)
    pytest.importorskip("torch_pruning", reason="optional: pip install torch-pruning")
    builder, row = tiny_builder(), parse_row("torch_pruning_30")
    encoder = builder.model(row).encoder
    total = builder.trained.table.parameters.total
    assert 1 - parameters(encoder) / total == pytest.approx(0.3, abs=0.03)
    counted = builder.counts(row, 2.0)
    assert counted == (parameters(encoder), macs(encoder, noise(1, 2.0)))


def test_an_impossible_size_is_refused():
    with pytest.raises(ValueError, match="more than these locations can give"):
        tiny_builder().model(parse_row("paper_95"))
