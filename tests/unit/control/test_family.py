import pytest
import torch
from support.encoders import adaptive, batch, options_of

from espnet_adaptive_dropout.control.family import (
    BAND,
    all_sizes,
    banded_logits,
    draw,
    shift_to_size,
)
from espnet_adaptive_dropout.units.cost import Cost, Shared
from espnet_adaptive_dropout.units.removal_order import uneven_group


def test_bands_hold_the_masks_of_all_sizes_and_the_order():
    logits = 8.0 * torch.randn(60, generator=torch.Generator().manual_seed(0))
    order = logits.argsort()
    keeps = []
    for gone in (10, 25, 26, 50):
        keep = torch.ones(60, dtype=torch.bool)
        keep[order[:gone]] = False
        keeps.append(keep)
    for chosen in range(4):
        final = banded_logits(logits, keeps, chosen)
        assert torch.equal(final.argsort(), order)
        for index, keep in enumerate(keeps):
            shifted = final - BAND * (index - chosen)
            assert torch.equal(shifted > 0, keep)
            assert shifted.abs().min() >= 60.0, "no noise crosses the threshold"


@pytest.mark.parametrize("reduction", [0.1, 0.5, 0.8])
def test_shift_gives_the_expected_size(reduction):
    generator = torch.Generator().manual_seed(0)
    logits = 6.0 * torch.randn(500, generator=generator)
    share = torch.rand(500, generator=generator)
    pairs = Shared(slice(0, 200), slice(200, 500), 1e-3)
    cost = Cost("parameters", share.double(), 190.0, (pairs,))
    shift = shift_to_size(
        logits, lambda x: cost.removed(torch.sigmoid(-x)) / cost.total, reduction
    )
    gone = torch.sigmoid(-(logits + shift)).double()
    both = 1e-3 * gone[:200].sum() * gone[200:].sum()
    saved = (share * gone).sum() - both
    assert saved.item() / 190.0 == pytest.approx(reduction, abs=2e-4)


def test_sizes_are_drawn_evenly_and_alike_in_all_processes():
    sizes = all_sizes(0.5, [0.2, 0.7, 0.5])
    assert sizes == [0.2, 0.5, 0.7]
    drawn = [draw(step, sizes) for step in range(3000)]
    assert drawn == [draw(step, sizes) for step in range(3000)]
    for index in range(3):
        assert drawn.count(index) == pytest.approx(1000, rel=0.1)


def kept_share(encoder, seed):
    """Share of the encoder that is gone in a training forward."""
    gone = []

    def note(gate, shape):
        torch.manual_seed(seed)
        return type(gate).mask(gate, (1, 1, gate.num_units), torch.float32).flatten()

    for group in encoder.units.gated_groups():
        gate = encoder.units.gates[(group.block, group.location)]
        gone.append(note(gate, None) == 0)
    keep = torch.ones(encoder.units.num_units, dtype=torch.bool)
    keep[encoder.units.gated()] = ~torch.cat(gone)
    return encoder.units.reduction(keep)


def test_every_step_after_the_freeze_trains_one_of_the_sizes():
    options = dict(options_of("latest"), output_size=32, linear_units=64)
    encoder = adaptive(
        options,
        control="feedback",
        target_reduction=0.4,
        family=[0.2, 0.6],
        total_steps=40,
    )
    logits = 5.0 * torch.randn(
        int(encoder.units.gated().sum()), generator=torch.Generator().manual_seed(0)
    )
    encoder.units.set_logits(logits)
    encoder.train()
    encoder.control.step.fill_(34.0)
    seen = set()
    for step in range(6):
        encoder(*batch())
        encoder.regularise(torch.ones(1))
        index = draw(int(encoder.control.step), encoder.control.sizes)
        share = kept_share(encoder, step)
        assert share == pytest.approx(encoder.control.sizes[index], abs=0.01)
        seen.add(index)
    assert encoder.size_is_final and len(seen) > 1
    assert encoder.control.actual_reduction() == pytest.approx(0.4, abs=0.01)


def test_before_the_freeze_each_size_is_reached_by_a_ramp_of_its_own():
    encoder = adaptive(
        options_of("latest"),
        control="feedback",
        target_reduction=0.4,
        family=[0.2, 0.55],
        total_steps=1000,
        ramp_start=0.3,
        ramp_end=0.7,
    ).train()
    control, table = encoder.control, encoder.units
    start = control.removed_at_start
    seen = set()
    for first, share in ((310, 0.0014), (500, 0.5), (600, 0.84375), (710, 1.0)):
        for step in range(first, first + 8):
            control.step.fill_(float(step))
            encoder(*batch())
            encoder.regularise(torch.ones(1))
            shift = next(iter(table.gates.values())).shift
            expected = control.expected_reductions(table.logits() + shift).sum().item()
            index = draw(control.steps, control.sizes)
            ramp = start + (control.sizes[index] - start) * share
            assert expected == pytest.approx(ramp, abs=0.015)
            seen.add((share, index))
    assert len(seen) == 4 * 3


@pytest.mark.parametrize("cost", ["parameters", "macs"])
@pytest.mark.parametrize("budget", ["encoder", "block"])
def test_every_size_has_widths_that_are_multiples(cost, budget):
    options = dict(options_of("latest"), output_size=48, linear_units=96)
    conf = dict(target_reduction=0.5, family=[0.3, 0.51, 0.7], multiple_of=8)
    conf.update(cost=cost, cost_frames=100, budget=budget)
    encoder = adaptive(options, control="feedback", **conf)
    control, table = encoder.control, encoder.units
    generator = torch.Generator().manual_seed(0)
    table.set_logits(torch.randn(table.num_units, generator=generator))
    control.freeze()
    larger = torch.ones(table.num_units, dtype=torch.bool)
    for index, size in enumerate(control.sizes):
        keep = table.logits() - BAND * (index - control.sizes.index(0.5)) > 0
        assert uneven_group(table, keep, 8) is None
        assert table.reduction(keep, control.cost) == pytest.approx(size, abs=0.01)
        assert not (keep & ~larger).any()
        larger = keep


def test_family_is_checked():
    with pytest.raises(ValueError, match="family=99.0% is above what the locations"):
        adaptive(options_of("latest"), control="feedback", family=[0.99])
    with pytest.raises(ValueError, match="family=1.5 is not between"):
        adaptive(options_of("latest"), family=[1.5])
    with pytest.raises(ValueError, match="family needs a size that is frozen"):
        adaptive(options_of("latest"), control="schedule", family=[0.3])
