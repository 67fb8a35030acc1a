"""Models whose decoder has adaptive dropout: their steps, losses and reports."""

import pytest
import torch
from espnet2.train.abs_espnet_model import AbsESPnetModel
from support.decoders import adaptive_decoder, stock_decoder
from support.tiny_training import (
    LATE_FREEZE,
    batch,
    build_model,
    encoder_conf,
    train_steps,
)

from espnet_adaptive_dropout.encoders.penalised_model import (
    AdaptiveDropoutMixin,
    with_penalty,
)
from espnet_adaptive_dropout.stacks.training_cut import cut_training

GATES = {**LATE_FREEZE, "ramp_start": 0.0, "target_reduction": 0.2, "total_steps": 10}
DECODER = dict(attention_heads=2, linear_units=16, num_blocks=2)
STOCK = {k: v for k, v in encoder_conf().items() if k != "adaptive_dropout_conf"}


def model_of(data, encoder=None, decoder=None, **changes):
    """A model with gates in the decoder, and in the encoder if it has options."""
    gates = {**GATES, **(decoder or {})}
    settings = dict(
        encoder="conformer" if encoder is None else "adaptive_dropout_conformer",
        encoder_conf=STOCK if encoder is None else encoder_conf(**GATES, **encoder),
        decoder="adaptive_dropout_transformer",
        decoder_conf={**DECODER, "adaptive_dropout_conf": gates},
    )
    return build_model(data, **{**settings, **changes})


def test_a_stock_encoder_and_gates_in_the_decoder(data):
    model = model_of(data, model=None)
    assert isinstance(model, AdaptiveDropoutMixin)
    before = model.decoder.units.logits().clone()
    stats = train_steps(model, 1)
    assert {"decoder_expected_reduction", "decoder_target_reduction"} <= set(stats)
    assert "expected_reduction" not in stats
    assert all(value is None or value.shape == (1,) for value in stats.values())
    assert (model.decoder.units.logits() != before).any()
    assert model.decoder.control.steps == 1


def test_scores_count_when_both_sizes_are_final(data):
    model = model_of(data, encoder={}, decoder=dict(ramp_end=0.4, freeze_at=0.45))
    train_steps(model, 6)
    assert model.decoder.control.is_frozen and not model.encoder.control.is_frozen
    _, stats, _ = model.eval()(**batch())
    assert stats["final_acc"] == -1.0 and stats["final_loss"] == 1e30
    train_steps(model, 4)
    assert model.encoder.control.is_frozen
    _, stats, _ = model.eval()(**batch())
    assert torch.equal(stats["final_acc"], stats["acc"])


def test_evaluation_is_no_step_and_keeps_the_decided_units(data):
    model = model_of(data)
    train_steps(model, 10)
    assert model.decoder.control.steps == 10
    model.eval()(**batch())
    with torch.no_grad():
        model.train()(**batch())
    assert model.decoder.control.steps == 10
    reduction = model.decoder.control.actual_reduction()
    assert reduction == pytest.approx(0.2, abs=0.01)


def test_the_full_width_teaches_with_all_units_of_the_decoder(data):
    model = model_of(data, encoder=dict(distillation=0.5)).train()
    seen = []

    def note(module, inputs):
        gates = module.units.gates.values()
        seen.append((module.is_second_pass, {gate.phase for gate in gates}))

    model.decoder.register_forward_pre_hook(note)
    stats = train_steps(model, 2)
    assert seen == [(False, {"sampled"}), (True, {"open"})] * 2
    assert model.decoder.control.steps == model.encoder.control.steps == 2
    assert stats["full_width_loss"] > 0


@pytest.mark.parametrize("of", [None, "model"])
def test_an_existing_model_teaches_both(data, tmp_path, of):
    settings = dict(encoder="conformer", encoder_conf=STOCK, model="espnet")
    stock = build_model(data, decoder_conf=DECODER, **settings)
    torch.save(stock.state_dict(), tmp_path / "teacher.pth")
    teaching = dict(distillation=0.5, teacher=str(tmp_path / "teacher.pth"))
    own = dict(of="model") if of else GATES
    decoder_conf = {**DECODER, "adaptive_dropout_conf": own}
    encoder = {**teaching, "of": of}
    model = model_of(data, encoder=encoder, decoder_conf=decoder_conf)
    stats = train_steps(model, 10)
    assert stats["distillation"] > 0.0 and torch.isfinite(stats["distillation"])
    for stack in (model.encoder, model.decoder):
        cut_training(stack, [])  # after which the teacher goes on
    assert train_steps(model, 1)["distillation"] > 0.0


def test_distillation_is_an_option_of_the_encoder(data):
    with pytest.raises(ValueError, match="CTC posteriors.* do not depend on the dec"):
        model_of(data, encoder={}, decoder=dict(distillation=0.5))


@pytest.mark.parametrize("name", ["extra_asr_decoder", "st_decoder"])
def test_a_second_decoder_is_refused(name):
    class Model(AbsESPnetModel):
        def __init__(self):
            super().__init__()
            self.encoder = torch.nn.Linear(1, 1)
            setattr(self, name, adaptive_decoder(stock_decoder()))

        def forward(self, **batch):
            raise NotImplementedError

        def collect_feats(self, **batch):
            raise NotImplementedError

    message = f"{name}: adaptive_dropout_transformer can only be the main decoder"
    with pytest.raises(ValueError, match=message):
        with_penalty(Model())
