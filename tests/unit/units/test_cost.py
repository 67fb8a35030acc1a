import pytest
import torch
from support.encoders import ARCHITECTURES, adaptive, compact_of, options_of

from espnet_adaptive_dropout.experiments import sizes as count
from espnet_adaptive_dropout.experiments.features import Inputs
from espnet_adaptive_dropout.units.encoder_cost import mac_cost, zero_inputs

# More frames than the compact encoder's attention takes at a time
FRAMES = 700
COUNTED = ["latest", "legacy", "absolute", "conv1d", "conv1d_linear"]


def macs(encoder, inputs):
    return count.macs(encoder.eval(), Inputs(*inputs))


@pytest.mark.parametrize("architecture", COUNTED)
def test_macs_of_a_unit_are_what_really_goes(architecture):
    options = options_of(architecture)
    encoder = adaptive(options)
    inputs = zero_inputs(encoder, options["input_size"], FRAMES)
    cost = mac_cost(encoder, encoder.units.groups, inputs)
    assert cost.total == macs(encoder, inputs)
    for group in encoder.units.groups:
        keep = torch.ones(encoder.units.num_units, dtype=torch.bool)
        keep[group.start + 1 : group.start + 3] = False
        gone = cost.total - macs(compact_of(encoder, options, keep), inputs)
        assert gone == cost.removed((~keep).float()), group


@pytest.mark.parametrize("architecture", ["latest", "legacy", "absolute"])
def test_fused_attention_counts_as_plain_attention(architecture):
    if "sdpa_latest" not in ARCHITECTURES:
        pytest.skip("this ESPnet's Conformer has no use_sdpa")
    costs = []
    for fused in (False, True):
        encoder = adaptive(dict(options_of(architecture), use_sdpa=fused))
        inputs = zero_inputs(encoder, 20, FRAMES)
        costs.append(mac_cost(encoder, encoder.units.groups, inputs).total)
        assert costs[-1] == macs(encoder, inputs)
    assert costs[0] == costs[1]
    assert encoder.encoders[0].self_attn.use_sdpa


def test_macs_shared_by_two_locations_count_once():
    options = options_of("latest")
    encoder = adaptive(options)
    inputs = zero_inputs(encoder, options["input_size"], FRAMES)
    cost = mac_cost(encoder, encoder.units.groups, inputs)
    keep = torch.ones(encoder.units.num_units, dtype=torch.bool)
    for group in encoder.units.groups:
        if group.location.startswith(("conv_", "subsampling")):
            keep[group.start : group.start + 3] = False
    gone = cost.total - macs(compact_of(encoder, options, keep), inputs)
    assert gone == cost.removed((~keep).float())
    assert gone < cost.per_unit[~keep].sum()


def test_measuring_leaves_the_encoder_in_its_mode():
    options = options_of("latest")
    encoder = adaptive(options).train()
    mac_cost(encoder, encoder.units.groups, zero_inputs(encoder, 20, FRAMES))
    assert encoder.training and encoder.encoders[0].self_attn.training
    assert not encoder.encoders[0].self_attn._forward_pre_hooks


def test_conditioning_on_intermediate_ctc_is_left_aside():
    options = dict(
        options_of("latest"), interctc_layer_idx=[1], interctc_use_conditioning=True
    )
    encoder = adaptive(options, cost="macs")
    plain = adaptive(options_of("latest"), cost="macs")
    assert encoder.control.cost.total == plain.control.cost.total
    assert encoder.interctc_use_conditioning


def test_inputs_for_an_encoder_of_token_ids():
    options = dict(options_of("latest"), input_layer="embed", input_size=30)
    encoder = adaptive(options)
    features, lengths = zero_inputs(encoder, 30, FRAMES)
    assert features.dtype == torch.long and lengths.tolist() == [FRAMES]
    assert mac_cost(encoder, encoder.units.groups, (features, lengths)).total > 0


def test_macs_are_steered_to_and_a_longer_utterance_shares_them_differently():
    options = options_of("latest")
    conf = dict(cost="macs", target_reduction=0.3)
    short, long = (
        adaptive(options, **conf, cost_frames=frames).control.cost
        for frames in (100, 1000)
    )
    groups = adaptive(options).units.groups
    unit = next(group.start for group in groups if group.location == "query")
    assert short.name == "macs"
    assert long.per_unit[unit] / long.total > short.per_unit[unit] / short.total


@pytest.mark.parametrize("architecture, least", [("latest", 7), ("conv2d8", 15)])
def test_too_few_frames_to_count_are_named(architecture, least):
    encoder = adaptive(options_of(architecture))
    for frames in (0, 1, least - 1):
        with pytest.raises(ValueError, match=f"cost_frames={frames}: .* {least} fram"):
            zero_inputs(encoder, 20, frames)
    mac_cost(encoder, encoder.units.groups, zero_inputs(encoder, 20, least))
