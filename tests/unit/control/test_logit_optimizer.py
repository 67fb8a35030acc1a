"""Nothing but their own optimizer moves the logits, and nothing disturbs it."""

import inspect

import pytest
import torch
from espnet2.optimizers.optim_groups import configure_optimizer
from espnet2.tasks.abs_task import optim_classes
from support.encoders import adaptive, batch, options_of

NO_DECAY = dict(bias_weight_decay=False, normalization_weight_decay=False)


def encoder_of(**conf):
    """An encoder without ordinary dropout whose gates sample from the first step on."""
    torch.manual_seed(0)
    options = dict(options_of("linear_input"), dropout_rate=0.0)
    options["positional_dropout_rate"] = 0.0
    defaults = dict(control="feedback", total_steps=40, ramp_start=0.0, initial_logit=1)
    return adaptive(options, **{**defaults, **conf}).train()


def loss_of(encoder, seed=0):
    """Loss of a training step, with the masks and the features of ``seed``."""
    features, lengths = batch(seed=seed)
    torch.manual_seed(seed)
    return encoder(features, lengths)[0].square().mean()


def step(encoder, seed=0, factor=1.0):
    """Forward and backward pass; the loss is scaled as a trainer does."""
    loss = loss_of(encoder, seed)
    encoder.regularise(loss)
    loss *= factor
    loss.backward()


def state_of(encoder):
    """Logits and state of their optimizer."""
    state = encoder.control.optimizer.state_dict()
    return {**state, "logits": encoder.units.logits()}


def assert_equal(one, other):
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


# ---- the task's optimizer


def optimizers(encoder):
    """Every optimizer of ESPnet with a weight decay, as ESPnet makes it."""
    for name, kind in optim_classes.items():
        options = dict(lr=0.1)
        accepted = inspect.signature(kind.__init__).parameters
        options.update({"weight_decay": 0.5} if "weight_decay" in accepted else {})
        options.update({"momentum": 0.9} if name == "sgd" else {})
        yield name, kind(encoder.parameters(), **options)
        if name != "lbfgs":  # which takes no groups of parameters
            yield name, configure_optimizer(encoder, kind, options, NO_DECAY)


@pytest.mark.parametrize("is_frozen", [False, True])
def test_no_optimizer_of_espnet_moves_the_logits(is_frozen):
    encoder = encoder_of()
    if is_frozen:
        encoder.control.freeze()
    logits = encoder.units.logits()
    names = set()
    for name, optimizer in optimizers(encoder):
        weights = [p.detach().clone() for p in encoder.parameters()]
        for _ in range(3):
            for parameter in encoder.parameters():
                if parameter.requires_grad:
                    parameter.grad = torch.ones_like(parameter)
            optimizer.step(lambda: torch.tensor(0.0))
        assert not all(map(torch.equal, encoder.parameters(), weights)), name
        assert torch.equal(encoder.units.logits(), logits), name
        names.add(name)
    assert {"adam", "adamw", "sgd"} <= names == set(optim_classes)


def test_the_logits_rest_before_the_ramp_and_after_the_freeze():
    encoder = encoder_of(total_steps=20, ramp_start=0.5, freeze_at=0.85)
    seen = []
    for number in range(20):
        step(encoder, number)
        seen.append(encoder.units.logits())
    for number, (before, after) in enumerate(zip(seen, seen[1:]), 2):
        moving = 10 < number <= 18  # progress above 0.5, up to 0.85 and the freeze
        assert torch.equal(before, after) != moving, number


# ---- what the trainer does to the loss


@pytest.mark.parametrize("factor", [2.0**16, 2.0**-3])
def test_the_scale_of_the_loss_changes_nothing(factor):
    plain, scaled = encoder_of(), encoder_of()
    before = plain.units.logits()
    for number in range(3):
        step(plain, number)
        # AMP changes its scale in the course of a training.
        step(scaled, number, factor * 2.0**number)
    assert (plain.units.logits() != before).all()
    assert_equal(state_of(plain), state_of(scaled))


def test_the_penalty_is_no_part_of_the_loss_nor_of_the_gradient_norm():
    norms = []
    for alpha in (1e-9, 1e9):
        encoder = encoder_of(alpha=alpha)
        step(encoder)
        parameters = encoder.parameters()
        norms.append(torch.nn.utils.clip_grad_norm_(parameters, 5.0))
    assert torch.equal(*norms) and norms[0] > 0


def test_micro_batches_of_an_update_are_averaged():
    halves, alone = encoder_of(accum_grad=2), [encoder_of(), encoder_of()]
    for seed, encoder in enumerate(alone):
        step(encoder, seed)
    before = halves.units.logits()
    step(halves, 0, factor=0.5)
    assert torch.equal(halves.units.logits(), before)
    # The first step's penalty differs in nothing; that of the second has moved on.
    first = halves.control.optimizer.gradient.clone()
    assert torch.allclose(first, 10 * alone[0].control.optimizer.mean)
    step(halves, 1, factor=0.5)
    assert (halves.units.logits() != before).all()
    assert halves.control.optimizer.updates == 1
    assert halves.control.optimizer.gradient.abs().max() == 0


# ---- failures


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_is_left_out(bad):
    encoder = encoder_of()
    step(encoder, 0)
    before = state_of(encoder)
    step(encoder, 1, bad)
    assert_equal(before, state_of(encoder))
    step(encoder, 2)
    assert (encoder.units.logits() != before["logits"]).all()


def test_the_training_goes_on_after_a_step_that_failed():
    encoder = encoder_of()
    step(encoder, 0)
    for _ in range(2):  # before the loss is known, and in the backward pass
        loss_of(encoder, 1)
    loss = loss_of(encoder, 2)
    encoder.regularise(loss)
    before = state_of(encoder)
    step(encoder, 3)
    assert (encoder.units.logits() != before["logits"]).all()
    assert encoder.control.steps == 5


def test_a_second_backward_pass_moves_nothing():
    encoder = encoder_of()
    loss = loss_of(encoder)
    encoder.regularise(loss)
    loss.backward(retain_graph=True)
    before = state_of(encoder)
    loss.backward()
    assert_equal(before, state_of(encoder))


# ---- several processes


def test_processes_share_their_gradients(monkeypatch):
    """The gradient of all utterances, each weighted as the trainer weights its loss."""
    sent = []

    def mean_of(other, seed, factor):
        """Mean gradient after a step in a process that gets ``other`` from another."""
        # No penalty to speak of: it follows from the loss of all processes.
        encoder = encoder_of(control="schedule", alpha=1e-9)

        def all_reduce(sums):
            sent.append(sums.clone())
            sums += other

        monkeypatch.setattr(torch.distributed, "all_reduce", all_reduce)
        step(encoder, seed, factor)
        return encoder.control.optimizer.mean

    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    alone = [mean_of(0.0, seed, 1.0) for seed in (1, 2)]
    sent.clear()
    # One utterance in the first process and three in the second: 2 * 1/4 and 2 * 3/4
    mean_of(0.0, 1, 0.5)
    both = mean_of(sent[0], 2, 1.5)
    assert torch.allclose(both, 0.25 * alone[0] + 0.75 * alone[1], rtol=1e-4)
    assert torch.allclose(both, mean_of(sent[1], 1, 0.5), rtol=1e-4)


# ---- checkpoints


def test_a_resumed_training_is_the_uninterrupted_one():
    encoder = encoder_of(accum_grad=2)
    for number in range(5):  # in the middle of an update
        step(encoder, number)
    resumed = encoder_of(accum_grad=2)
    resumed.load_state_dict(encoder.state_dict())
    for number in range(5, 8):
        step(encoder, number)
        step(resumed, number)
    assert_equal(state_of(encoder), state_of(resumed))


def test_checkpoints_of_older_releases():
    encoder = encoder_of(logit_scale=4.0)
    encoder.units.set_logits(torch.randn_like(encoder.units.logits()))
    state = encoder.state_dict()
    old = {
        name.replace(".logits", ".scaled_logits"): value
        for name, value in state.items()
        if not name.startswith("control.optimizer.")
    }
    for name in old:
        if name.endswith("scaled_logits"):
            old[name] = old[name] / 4.0
    fresh = encoder_of(logit_scale=4.0)
    fresh.load_state_dict(old, strict=True)
    assert torch.equal(fresh.units.logits(), encoder.units.logits())
    step(fresh)


def test_a_loss_that_is_never_differentiated_is_an_error():
    encoder = encoder_of(total_steps=4000)
    patience = encoder.control.optimizer.PATIENCE
    features, lengths = batch()
    with pytest.raises(RuntimeError, match=f"not moved for {patience + 1} training"):
        for _ in range(patience + 2):
            loss = encoder(features, lengths)[0].square().mean()
            encoder.regularise(loss)
