"""A cut in the middle of a training changes its cost and nothing else."""

from __future__ import annotations

import copy

import pytest
import torch
from support.encoders import ARCHITECTURES, batch, options_of, random_keep, randomise

from espnet_adaptive_dropout.encoders.adaptive import AdaptiveDropoutConformerEncoder
from espnet_adaptive_dropout.experiments.sizes import parameters
from espnet_adaptive_dropout.pruning.trained import set_masks
from espnet_adaptive_dropout.stacks.training_cut import cut_training
from espnet_adaptive_dropout.units.surgery import Cut

OPTIMIZERS = {
    "adam": lambda weights: torch.optim.Adam(weights, lr=0.01),
    "weight decay": lambda weights: torch.optim.AdamW(weights, 0.01, weight_decay=0.1),
    "momentum": lambda weights: torch.optim.SGD(weights, lr=0.01, momentum=0.9),
}
# Chance that differs between the two networks: dropout, and layers that are left out.
DETERMINISTIC = dict(
    dropout_rate=0.0,
    positional_dropout_rate=0.0,
    attention_dropout_rate=0.0,
    stochastic_depth_rate=0.0,
    layer_drop_rate=0.0,
)


def frozen_encoder(architecture, share=0.5, **conf):
    """An encoder in double precision whose size is frozen."""
    options = {**options_of(architecture), **DETERMINISTIC}
    conf = dict(dict(target_reduction=0.1, total_steps=1000, locations="all"), **conf)
    encoder = AdaptiveDropoutConformerEncoder(**options, adaptive_dropout_conf=conf)
    randomise(encoder)
    encoder = encoder.double().train()
    set_masks(encoder.units, random_keep(encoder.units, share))
    encoder.control.frozen.fill_(1.0)
    return encoder


def loss_of(encoder, seed=0):
    features, lengths = batch(encoder.input_size, seed)
    output = encoder(features.double(), lengths)[0]
    if isinstance(output, tuple):
        output = output[0] + sum(inner for _, inner in output[1])
    generator = torch.Generator().manual_seed(seed)
    probe = torch.randn(output.shape, generator=generator, dtype=output.dtype)
    loss = (output * probe).mean().reshape(1)
    encoder.regularise(loss)
    return loss


def train(encoder, optimizer, steps=1, seed=0):
    for step in range(steps):
        optimizer.zero_grad()
        loss = loss_of(encoder, seed + step)
        loss.backward()
        optimizer.step()
    return loss


def copied(architecture, encoder, optimizer, make):
    other = frozen_encoder(architecture)
    other.load_state_dict(encoder.state_dict())
    other_optimizer = make(other.parameters())
    other_optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    return other, other_optimizer


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_next_step_is_that_of_the_masked_network(architecture):
    make = OPTIMIZERS["adam"]
    masked = frozen_encoder(architecture)
    optimizer = make(masked.parameters())
    train(masked, optimizer, steps=2)
    small, small_optimizer = copied(architecture, masked, optimizer, make)
    cut_training(small, [small_optimizer])
    assert parameters(small) < parameters(masked)

    losses = [
        train(encoder, own, seed=7)
        for encoder, own in ((masked, optimizer), (small, small_optimizer))
    ]
    assert losses[1].item() == pytest.approx(losses[0].item(), abs=1e-12)
    cuts = small.training_cut.cuts
    expected = dict(masked.named_parameters())
    for name, weight in small.named_parameters():
        whole = expected[name]
        if not weight.requires_grad or not weight.numel():
            continue
        cut = cuts.get(name, Cut())
        gradient, value = (
            cut.narrow(tensor).view_as(weight)
            for tensor in (whole.grad, whole.detach())
        )
        assert (weight.grad - gradient).abs().max() < 1e-12, name
        # Adam divides by the gradient's size, so that a tiny one may differ more.
        assert (weight - value).abs().max() < 1e-6, name
    state, whole = small.state_dict(), masked.state_dict()
    for name in whole:
        if "running" in name:
            kept = cuts.get(name, Cut()).narrow(state[name] - whole[name])
            assert kept.abs().sum() < 1e-12, name


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_a_resumed_training_goes_on_as_the_cut_one(kind):
    """Weights and moments are written at full width and can be cut again."""
    make = OPTIMIZERS[kind]
    encoder = frozen_encoder("latest")
    optimizer = make(encoder.parameters())
    train(encoder, optimizer, steps=2)
    full = {name: value.shape for name, value in encoder.state_dict().items()}
    cut_training(encoder, [optimizer])
    train(encoder, optimizer, steps=2, seed=5)
    state = copy.deepcopy(encoder.state_dict())
    moments = copy.deepcopy(optimizer.state_dict())
    assert {name: value.shape for name, value in state.items()} == full

    resumed = frozen_encoder("latest")
    resumed.load_state_dict(state)
    resumed_optimizer = make(resumed.parameters())
    resumed_optimizer.load_state_dict(moments)
    cut_training(resumed, [resumed_optimizer])
    losses = [
        train(x, own, steps=2, seed=9)
        for x, own in ((encoder, optimizer), (resumed, resumed_optimizer))
    ]
    assert torch.equal(*losses)
    expected, actual = encoder.state_dict(), resumed.state_dict()
    assert all(torch.equal(actual[name], value) for name, value in expected.items())


def test_removed_entries_are_written_as_they_were():
    encoder = frozen_encoder("latest")
    optimizer = OPTIMIZERS["adam"](encoder.parameters())
    before = copy.deepcopy(encoder.state_dict())
    cut_training(encoder, [optimizer])
    after = encoder.state_dict()
    assert list(before) == sorted(after, key=list(before).index)
    for name, value in before.items():
        assert torch.equal(after[name], value), name
    train(encoder, optimizer, steps=3)
    changed = encoder.state_dict()
    for name, cut in encoder.training_cut.cuts.items():
        kept = cut.narrow(changed[name])
        assert torch.equal(cut.widen(kept, before[name]), changed[name])


def test_gradients_that_wait_for_an_update_are_cut_too():
    encoder = frozen_encoder("latest")
    optimizer = OPTIMIZERS["adam"](encoder.parameters())
    loss_of(encoder).backward()
    whole = {name: p.grad for name, p in encoder.named_parameters()}
    cut_training(encoder, [optimizer])
    for name, weight in encoder.named_parameters():
        if weight.requires_grad:
            cut = encoder.training_cut.cuts.get(name, Cut())
            expected = cut.narrow(whole[name]).view_as(weight)
            assert torch.equal(weight.grad, expected), name


def test_random_numbers_of_the_training_are_left_alone():
    encoder = frozen_encoder("latest")
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    cut_training(encoder, [])
    assert torch.equal(torch.rand(4), expected)


def test_a_weight_that_is_not_trained_stays_so():
    encoder = frozen_encoder("latest")
    name = "encoders.0.feed_forward.w_1.weight"
    encoder.get_parameter(name).requires_grad_(False)
    cut_training(encoder, [])
    assert not encoder.get_parameter(name).requires_grad
    assert encoder.get_parameter("encoders.0.feed_forward.w_2.weight").requires_grad


def test_optimizer_with_other_state_is_refused_before_anything_is_cut():
    encoder = frozen_encoder("latest")
    optimizer = OPTIMIZERS["adam"](encoder.parameters())
    weight = encoder.get_parameter("encoders.0.feed_forward.w_1.weight")
    optimizer.state[weight] = dict(rows=torch.zeros(24))
    message = r"Adam keeps rows of shape \(24,\) for a weight of shape \(24, 16\)"
    with pytest.raises(ValueError, match=message):
        cut_training(encoder, [optimizer])
    assert encoder.training_cut is None
    assert encoder.get_parameter("encoders.0.feed_forward.w_1.weight") is weight


@pytest.mark.parametrize(
    ("conf", "due"),
    [
        ({}, True),
        (dict(cut_in_training=False), False),
        (dict(family=[0.05]), False),
    ],
)
def test_a_cut_is_due_after_the_freeze_once(conf, due):
    encoder = frozen_encoder("latest", **conf)
    assert encoder.cut_is_due == due
    encoder.control.frozen.zero_()
    assert not encoder.cut_is_due
    if due:
        encoder.control.frozen.fill_(1.0)
        cut_training(encoder, [])
        assert not encoder.cut_is_due


def test_nothing_is_due_without_gates():
    options = options_of("latest")
    conf = dict(locations=[])
    encoder = AdaptiveDropoutConformerEncoder(**options, adaptive_dropout_conf=conf)
    assert not encoder.cut_is_due


def test_evaluation_and_copies_of_a_cut_encoder():
    encoder = frozen_encoder("latest")
    features, lengths = batch(20)
    expected = encoder.eval()(features.double(), lengths)[0]
    cut_training(encoder, [])
    assert not encoder.encoders[0].training
    actual = copy.deepcopy(encoder)(features.double(), lengths)[0]
    assert torch.allclose(actual, expected, atol=1e-12)
