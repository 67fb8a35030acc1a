import sys
import types

import pytest
import torch
from espnet2.train.abs_espnet_model import AbsESPnetModel
from support.tiny_training import LATE_FREEZE, batch, build_model, encoder_conf

from espnet_adaptive_dropout.encoders.adaptive import AdaptiveDropoutConformerEncoder
from espnet_adaptive_dropout.encoders.penalised_model import (
    AdaptiveDropoutMixin,
    penalised,
    with_penalty,
)
from espnet_adaptive_dropout.units.widths import compact_options

SIZES = {
    "retention_penalty",
    "retention_centre",
    "target_reduction",
    "expected_reduction",
    "actual_reduction",
    "undecided_units",
}


def conf(encoder=None, **changes):
    """Encoder options for a training of ten steps."""
    options = {**LATE_FREEZE, "ramp_start": 0.0, "target_reduction": 0.2}
    options["total_steps"] = 10
    return {**encoder_conf(**{**options, **changes}), **(encoder or {})}


def hybrid(ctc_weight=0.3, **options):
    return dict(ctc_weight=ctc_weight, report_cer=False, report_wer=False, **options)


def model_of(data, encoder=None, gates=None, **changes):
    settings = dict(encoder_conf=conf(encoder, **(gates or {})), **changes)
    return build_model(data, **settings)


def task_loss(stats, ctc_weight=0.3):
    """The task's own loss out of the parts that ESPnet reports."""
    return ctc_weight * stats["loss_ctc"] + (1 - ctc_weight) * stats["loss_att"]


def assert_reportable(stats):
    """What ESPnet's reporter gathers over processes."""
    for name, value in stats.items():
        if value is not None:
            assert value.shape == (1,), name
            assert not value.requires_grad, name


def test_training_reports_the_penalty_and_sizes(data):
    model = model_of(data).train()
    loss, stats, weight = model(**batch())
    assert loss.shape == weight.shape == (1,)
    assert_reportable(stats)
    assert SIZES <= set(stats)
    assert not {"final_acc", "final_loss"} & set(stats)
    model.encoder.control.steering.centre.fill_(-3.0)
    loss, stats, _ = model(**batch())
    assert stats["retention_penalty"] > 0
    # The penalty moves the logits alone: the loss is that of a stock training.
    assert torch.allclose(loss.detach(), task_loss(stats), rtol=1e-5)
    assert torch.allclose(stats["loss"], task_loss(stats), rtol=1e-5)


def test_the_logits_move_although_the_trainer_divides_the_loss_in_place(data):
    model = model_of(data).train()
    before = model.encoder.units.logits().clone()
    loss, _, _ = model(**batch())
    loss /= 1  # accum_grad, as in espnet2.train.trainer
    loss.backward()
    assert model.encoder.control.optimizer.updates == 1
    assert (model.encoder.units.logits() != before).any()


def test_evaluation_has_the_task_loss_alone(data):
    model = model_of(data).eval()
    model.encoder.control.steering.centre.fill_(-3.0)
    before = {k: v.clone() for k, v in model.encoder.control.state_dict().items()}
    loss, stats, weight = model(**batch())
    assert loss.shape == weight.shape == (1,)
    assert_reportable(stats)
    assert not SIZES & set(stats)
    assert torch.allclose(loss.detach(), task_loss(stats), rtol=1e-5)
    for name, value in model.encoder.control.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_final_scores_count_from_the_freeze(data):
    model = model_of(data)

    def scores():
        _, stats, _ = model.eval()(**batch())
        return stats

    stats = scores()
    assert stats["final_acc"] == -1.0 and stats["final_loss"] == 1e30
    assert stats["acc"] is not None
    model.train()
    for _ in range(10):
        loss, _, _ = model(**batch())
        loss.sum().backward()
    assert model.encoder.control.frozen == 1
    stats = scores()
    assert_reportable(stats)
    assert torch.equal(stats["final_acc"], stats["acc"])
    assert torch.equal(stats["final_loss"], stats["loss"])


def test_no_diverged_training_is_worse_than_one_that_is_not_frozen(data):
    """ESPnet ranks epochs by these; equal ones from the first on."""
    model = model_of(data).eval()
    diverged = {"loss": torch.tensor([2.4e8]), "acc": torch.tensor([0.0])}
    before = model._final(diverged)
    model.encoder.control.freeze()
    after = model._final(diverged)
    assert after["final_loss"] < before["final_loss"]
    assert after["final_acc"] > before["final_acc"]
    # The reporter multiplies by the number of utterances.
    assert torch.isfinite(before["final_loss"] * 1e6)


def test_scores_count_at_once_where_nothing_freezes(data):
    model = model_of(data, gates=dict(control="schedule")).eval()
    _, stats, _ = model(**batch())
    assert torch.equal(stats["final_loss"], stats["loss"])


def test_ctc_alone_has_a_final_loss_only(data):
    model = model_of(data, model_conf=hybrid(ctc_weight=1.0)).eval()
    _, stats, _ = model(**batch())
    assert stats["final_loss"] == 1e30
    assert "final_acc" not in stats
    model.train()
    loss, stats, _ = model(**batch())
    assert torch.allclose(loss.detach(), stats["loss_ctc"], rtol=1e-5)


def test_intermediate_ctc(data):
    model = model_of(
        data,
        encoder=dict(num_blocks=2, interctc_layer_idx=[1]),
        model_conf=hybrid(interctc_weight=0.5),
    ).train()
    loss, stats, _ = model(**batch())
    assert_reportable(stats)
    assert stats["loss_interctc_layer1"] > 0
    assert torch.isfinite(loss).all()


class StandInLoss(torch.nn.Module):
    """Takes the place of warp-transducer's loss, a package that is compiled."""

    def __init__(self, blank, fastemit_lambda=0.0):
        super().__init__()
        self.blank = blank

    def forward(self, joint, target, lengths, target_lengths):
        return -joint.log_softmax(-1)[..., self.blank].mean()


def test_transducer(data, monkeypatch):
    warprnnt = types.SimpleNamespace(RNNTLoss=StandInLoss)
    monkeypatch.setitem(sys.modules, "warprnnt_pytorch", warprnnt)
    model = model_of(
        data,
        decoder="transducer",
        decoder_conf=dict(rnn_type="lstm", num_layers=1, hidden_size=8),
        joint_net_conf=dict(joint_space_size=8),
        model_conf=hybrid(),
    )
    loss, stats, _ = model.train()(**batch())
    assert_reportable(stats)
    loss.sum().backward()
    assert SIZES <= set(stats)
    _, stats, _ = model.eval()(**batch())
    assert stats["final_loss"] == 1e30


def test_no_gates_is_an_ordinary_model(data):
    model = model_of(data, gates=dict(locations=[])).train()
    loss, stats, _ = model(**batch())
    assert loss.shape == (1,)
    assert_reportable(stats)
    assert torch.allclose(loss.detach(), task_loss(stats), rtol=1e-5)
    assert not SIZES & set(stats)


@pytest.mark.parametrize("encoder", ["conformer", "compact_conformer"])
def test_other_encoders_are_refused(data, encoder):
    options = conf()
    adaptive = AdaptiveDropoutConformerEncoder(20, **options)
    del options["adaptive_dropout_conf"]
    if encoder == "compact_conformer":
        keep = torch.ones(adaptive.units.num_units, dtype=torch.bool)
        options.update(compact_options(adaptive.units, keep))
    with pytest.raises(ValueError, match="needs 'encoder: adaptive_dropout_conformer'"):
        build_model(data, encoder=encoder, encoder_conf=options)
    build_model(data, encoder=encoder, encoder_conf=options, model="espnet")


def test_an_encoder_whose_penalty_nobody_adds_is_refused_in_the_second_step(data):
    encoder = model_of(data).train().encoder
    encoder(*_features())
    with pytest.raises(RuntimeError, match="regularise"):
        encoder(*_features())


def test_the_training_goes_on_after_a_step_that_failed(data, monkeypatch):
    """As ESPnet users do who catch what goes wrong with a batch."""
    model = model_of(data).train()

    def failing(*args):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(model.decoder, "forward", failing)
        for _ in range(2):
            with pytest.raises(MemoryError):
                model(**batch())
    loss, stats, _ = model(**batch())
    loss.backward()
    assert model.encoder.control.steps == 3 and SIZES <= set(stats)


def test_half_precision(data):
    model = model_of(data).train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, stats, _ = model(**batch())
    assert_reportable(stats)
    assert torch.isfinite(loss).all()
    before = model.encoder.units.logits()
    loss.sum().backward()
    after = model.encoder.units.logits()
    assert torch.isfinite(after).all() and (after != before).all()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, _, _ = model.eval()(**batch())
    assert torch.isfinite(loss).all()


@pytest.mark.parametrize("freeze_at", [0.85, 1.0])
@pytest.mark.parametrize(
    "encoder", [dict(stochastic_depth_rate=0.9), dict(layer_drop_rate=0.9)]
)
def test_the_logits_of_skipped_blocks_are_steered_too(data, encoder, freeze_at):
    model = model_of(
        data, encoder=dict(num_blocks=3, **encoder), gates=dict(freeze_at=freeze_at)
    ).train()
    table, skipped = model.encoder.units, 0
    for step in range(10):
        torch.manual_seed(step)
        model.zero_grad(set_to_none=True)
        before = table.logits()
        loss, _, _ = model(**batch())
        is_frozen = model.encoder.control.is_frozen
        loss.sum().backward()
        after = table.logits()
        assert torch.isfinite(after).all()
        assert is_frozen or (after != before).all(), step
        weights = [layer.feed_forward.w_1.weight for layer in model.encoder.encoders]
        skipped += sum(weight.grad is None for weight in weights)
    # ESPnet's ConformerEncoder takes layer_drop_rate but drops no layer.
    assert skipped > 0 or "layer_drop_rate" in encoder
    assert model.encoder.control.frozen == float(freeze_at < 1)


def test_a_loss_that_is_not_finite_spoils_one_step_only(data):
    model = model_of(data).train()
    model(**batch())
    output, _, _ = model.encoder(*_features())
    before = model.encoder.units.logits()
    loss = output.sum() * float("nan")
    model.encoder.regularise(loss)
    loss.backward()
    assert torch.equal(model.encoder.units.logits(), before)
    loss, stats, _ = model(**batch())
    assert torch.isfinite(loss).all()
    assert torch.isfinite(stats["retention_penalty"]).all()


def _features():
    return torch.randn(2, 60, 20), torch.tensor([60, 40])


def test_a_forward_without_gradients_is_no_step(data):
    model = model_of(data).train()
    with torch.no_grad():
        model.encoder(*_features())
        model.encoder(*_features())
    assert model.encoder.control.step == 0
    model(**batch())
    assert model.encoder.control.step == 1


class Enhanced(AbsESPnetModel):
    """As ESPnet's enh_s2t model: a model behind an enhancement."""

    def __init__(self, s2t_model, enhancement_loss):
        super().__init__()
        self.s2t_model = s2t_model
        self.enhancement_loss = enhancement_loss

    def forward(self, **kwargs):
        loss, stats, weight = self.s2t_model(**kwargs)
        stats["loss_asr"] = loss.detach()
        loss = loss + self.enhancement_loss
        stats["loss_enh"] = torch.tensor([self.enhancement_loss])
        stats["loss"] = loss.detach()
        return loss, stats, weight

    def collect_feats(self, **kwargs):
        return {}


def test_behind_an_enhancement_the_outer_model_regularises_once(data):
    model = with_penalty(Enhanced(model_of(data), -1000.0)).train()
    assert isinstance(model, AdaptiveDropoutMixin)
    assert not isinstance(model.s2t_model, AdaptiveDropoutMixin)
    loss, stats, _ = model(**batch())
    # The enhancement's loss is negative; the penalty's weight must not be.
    assert stats["loss"] < 0 and stats["retention_penalty"] > 0
    assert torch.equal(loss, stats["loss"])
    assert model.s2t_model.encoder.control.step == 1
    _, stats, _ = model.eval()(**batch())
    assert stats["final_loss"] == 1e30 and stats["final_acc"] == -1


def test_adaptive_dropout_is_for_the_main_encoder(data):
    model = model_of(data)
    model.hier_encoder = model.encoder
    with pytest.raises(ValueError, match="hier_encoder: .* only be the main encoder"):
        with_penalty(model)


def test_other_models_are_left_alone():
    model = torch.nn.Linear(1, 1)
    assert with_penalty(model) is model and type(model) is torch.nn.Linear
    assert penalised(penalised(Enhanced)) is penalised(Enhanced)
