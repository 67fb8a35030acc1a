"""One size control for encoder and decoder."""

import pytest
import torch
from support.tiny_training import (
    LATE_FREEZE,
    batch,
    build_model,
    encoder_conf,
    train_steps,
)

from espnet_adaptive_dropout.decoders.adaptive import AdaptiveDropoutTransformerDecoder
from espnet_adaptive_dropout.encoders.adaptive import AdaptiveDropoutConformerEncoder

DECODER = dict(attention_heads=2, linear_units=16, num_blocks=2)
GATES = {**LATE_FREEZE, "ramp_start": 0.0, "target_reduction": 0.3, "total_steps": 10}


def model_of(data, encoder=None, decoder=None, **changes):
    """A model whose encoder and decoder have one target."""
    own = {"of": "model", **(decoder or {})}
    settings = dict(
        encoder_conf=encoder_conf(**{"of": "model", **GATES, **(encoder or {})}),
        decoder="adaptive_dropout_transformer",
        decoder_conf={**DECODER, "adaptive_dropout_conf": own},
    )
    return build_model(data, **{**settings, **changes})


def test_units_of_both_are_frozen_to_one_size(data):
    model = model_of(data)
    control = model.encoder.control
    assert model.decoder.control is None
    total = sum(s.units.parameters.total for s in (model.encoder, model.decoder))
    assert control.cost.total == total
    stats = train_steps(model, 10)
    assert control.frozen == 1
    kept = [stack.units.decided() for stack in (model.encoder, model.decoder)]
    removed = sum(
        stack.units.removed(keep)
        for stack, keep in zip((model.encoder, model.decoder), kept)
    )
    assert removed / total == pytest.approx(0.3, abs=0.01)
    assert stats["actual_reduction"] == pytest.approx(removed / total)
    assert not any(name.startswith("decoder_") for name in stats)
    for gate in (
        *model.encoder.units.gates.values(),
        *model.decoder.units.gates.values(),
    ):
        assert gate.phase == "decided"
    _, stats, _ = model.eval()(**batch())
    assert torch.equal(stats["final_loss"], stats["loss"])


def test_the_loss_moves_the_logits_of_both(data):
    model = model_of(data)
    before = [s.units.logits().clone() for s in (model.encoder, model.decoder)]
    train_steps(model, 1)
    for stack, logits in zip((model.encoder, model.decoder), before):
        assert (stack.units.logits() != logits).any()
    assert model.encoder.control.optimizer.updates == 1


def test_both_are_cut_in_the_training(data):
    model = model_of(data)
    assert not model.decoder.cut_is_due
    train_steps(model, 10)
    assert model.encoder.cut_is_due and model.decoder.cut_is_due


def test_checkpoints_open_again(data):
    model = model_of(data)
    train_steps(model, 10)
    other = model_of(data)
    other.load_state_dict(model.state_dict())
    assert other.encoder.control.is_frozen
    assert not any(name.startswith("decoder.control") for name in model.state_dict())
    assert torch.equal(other.decoder.units.logits(), model.decoder.units.logits())


def test_macs_of_both(data):
    model = model_of(data, dict(cost="macs", cost_frames=200, target_reduction=0.2))
    control = model.encoder.control
    assert control.cost.name == "macs"
    assert len(control.cost.per_unit) == control.table.num_units


@pytest.mark.parametrize(
    ("encoder", "decoder", "message"),
    [
        (dict(of=None), None, "decoder_conf.adaptive_dropout_conf.of: model needs"),
        (None, dict(GATES, of=None), "encoder_conf.adaptive_dropout_conf.of: model ne"),
        (None, dict(target_reduction=0.4), "target_reduction=0.4, but .* has 0.3"),
        (dict(initial_logit=3.0), None, "initial_logit=4.0, but .* has 3.0: with of"),
        (dict(target_reduction=0.95), None, "can give, .*% of the model's parameters"),
    ],
)
def test_what_does_not_fit_is_refused(data, encoder, decoder, message):
    with pytest.raises(ValueError, match=message):
        model_of(data, encoder, decoder)


def test_a_part_alone_is_refused():
    encoder = AdaptiveDropoutConformerEncoder(20, **encoder_conf(of="model", **GATES))
    features, lengths = torch.zeros(1, 40, 20), torch.tensor([40])
    with pytest.raises(RuntimeError, match="nothing steers the gates"):
        encoder.train()(features, lengths)
    decoder = AdaptiveDropoutTransformerDecoder(
        6, 8, **DECODER, adaptive_dropout_conf=dict(of="model")
    )
    with pytest.raises(RuntimeError, match="nothing steers the gates"):
        decoder.train().begin_step()
