"""The full-width network as a teacher in the same training."""

from __future__ import annotations

import copy

import pytest
import torch
from support.tiny_training import batch, build_model, encoder_conf

from espnet_adaptive_dropout.control.family import draw
from espnet_adaptive_dropout.encoders.distillation import (
    SameAugmentation,
    full_width,
)
from espnet_adaptive_dropout.encoders.posteriors import Posteriors, posteriors
from espnet_adaptive_dropout.modules.gate import AdaptiveDropout

HYBRID = dict(ctc_weight=0.3, report_cer=False, report_wer=False)
WITHOUT_DROPOUT = dict(dropout_rate=0.0, positional_dropout_rate=0.0)


def model_of(data, encoder=None, model_conf=HYBRID, **gates):
    options = dict(
        target_reduction=0.2,
        total_steps=10,
        ramp_start=0.0,
        distillation=0.5,
    )
    conf = {**encoder_conf(**{**options, **gates}), **(encoder or {})}
    return build_model(data, encoder_conf=conf, model_conf=model_conf).train()


TO_THE_END = [
    dict(cut_in_training=False),
    dict(freeze_at=1.0),
    dict(family=[0.05]),
]


@pytest.mark.parametrize("gates", [{}, *TO_THE_END])
def test_loss_has_the_divergence_and_that_of_a_teacher_to_the_end(data, gates):
    model = model_of(data, initial_logit=1.0, **gates)
    loss, stats, weight = model(**batch())
    assert loss.shape == weight.shape == stats["distillation"].shape == (1,)
    assert stats["distillation"] > 0
    assert stats["full_width_loss"] != stats["loss"]
    expected = stats["loss"] + 0.5 * stats["distillation"]
    if gates:
        expected += 0.5 * (stats["full_width_loss"] - stats["loss"])
    assert torch.allclose(loss.detach(), expected, rtol=1e-5)
    loss.sum().backward()
    for name, parameter in model.named_parameters():
        assert ("logits" in name) == (parameter.grad is None), name


def test_a_unit_that_is_masked_learns_only_from_a_teacher_to_the_end(data):
    for gates in ({}, dict(cut_in_training=False)):
        model = model_of(data, WITHOUT_DROPOUT, forward="deterministic", **gates)
        gate = model.encoder.units.gates[(0, "ffn")]
        with torch.no_grad():
            gate.logits[0] = -4.0
        loss, _, _ = model(**batch())
        loss.sum().backward()
        reads = model.encoder.encoders[0].feed_forward.w_2.weight.grad[:, 0]
        assert bool(reads.abs().max() > 0) == bool(gates)


def test_with_all_units_and_no_dropout_there_is_nothing_to_learn(data):
    model = model_of(data, WITHOUT_DROPOUT, forward="deterministic")
    with pytest.MonkeyPatch.context() as patch:
        # decoder and CTC have dropout of their own
        patch.setattr(torch.nn.functional, "dropout", lambda x, *_, **__: x)
        _, stats, _ = model(**batch())
    assert stats["distillation"].abs() < 1e-5
    assert torch.allclose(stats["full_width_loss"], stats["loss"], rtol=1e-5)


def test_nothing_is_taught_before_units_go(data):
    losses = []
    for strength in (0.0, 0.5):
        torch.manual_seed(1)
        model = model_of(data, ramp_start=0.3, distillation=strength)
        torch.manual_seed(2)
        loss, stats, _ = model(**batch())
        assert "distillation" not in stats
        losses.append(loss)
    assert torch.equal(*losses)
    for _ in range(3):
        _, stats, _ = model(**batch())
    assert "distillation" in stats


def test_a_batch_is_one_step_and_one_update_of_the_batch_norms(data):
    taught, alone = model_of(data), model_of(data, distillation=0.0)
    alone.load_state_dict(taught.state_dict())
    for model in (taught, alone):
        torch.manual_seed(3)
        model(**batch())
        assert model.encoder.control.steps == 1
    for (name, one), other in zip(
        taught.encoder.named_buffers(), alone.encoder.buffers()
    ):
        if ".norm." in name:
            assert torch.equal(one, other), name
    assert all(gate.phase == "sampled" for gate in taught.encoder.units.gates.values())


def test_the_frozen_network_is_taught_too(data):
    model = model_of(data)
    for _ in range(10):
        loss, stats, _ = model(**batch())
        loss.sum().backward()
    assert model.encoder.control.is_frozen
    assert stats["distillation"] > 0
    removed = model.encoder.units.logits() < 0
    assert removed.any()


def test_a_family_is_taught_at_each_of_its_sizes(data):
    model = model_of(data, WITHOUT_DROPOUT, family=[0.05, 0.35])
    for _ in range(10):
        model(**batch())
    control = model.encoder.control
    assert control.is_frozen
    divergences, full, sizes = [], [], []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.functional, "dropout", lambda x, *_, **__: x)
        for _ in range(12):
            _, stats, _ = model(**batch())
            sizes.append(draw(control.steps, control.sizes))
            divergences.append(round(stats["distillation"].item(), 4))
            full.append(stats["full_width_loss"].item())
    assert set(sizes) == {0, 1, 2}
    assert len(set(zip(sizes, divergences))) == len(set(divergences)) == 3
    assert full == pytest.approx([full[0]] * 12, rel=1e-5), "the teacher is one"


def test_evaluation_has_no_teacher(data):
    model = model_of(data).eval()
    _, stats, _ = model(**batch())
    assert "distillation" not in stats and "full_width_loss" not in stats


def test_full_width_is_left_even_by_an_error(data):
    model = model_of(data)
    model(**batch())
    state = copy.deepcopy(model.encoder.state_dict())
    with pytest.raises(RuntimeError, match="stop"):
        with full_width([model.encoder]):
            assert all(
                gate.is_open
                for gate in model.modules()
                if isinstance(gate, AdaptiveDropout)
            )
            model.encoder(torch.randn(2, 60, 20), torch.tensor([60, 50]))
            raise RuntimeError("stop")
    for name, tensor in model.encoder.state_dict().items():
        assert torch.equal(tensor, state[name]), name
    assert not model.encoder.is_second_pass
    assert not any(g.is_open for g in model.encoder.units.gates.values())


def test_divergence_counts_real_frames_and_teaches_one_side():
    torch.manual_seed(0)
    student = torch.randn(2, 5, 4, requires_grad=True)
    teacher = torch.randn(2, 5, 4, requires_grad=True)
    lengths = torch.tensor([5, 3])
    divergence = Posteriors(student, lengths).divergence_from(
        Posteriors(teacher, lengths)
    )
    expected = sum(
        torch.nn.functional.kl_div(
            student[i, :n].log_softmax(-1),
            teacher[i, :n].log_softmax(-1),
            reduction="sum",
            log_target=True,
        )
        for i, n in enumerate((5, 3))
    )
    assert torch.allclose(divergence, expected / 2)
    divergence.backward()
    assert teacher.grad is None
    assert student.grad[1, 3:].abs().max() == 0 < student.grad[1, :3].abs().min()


def test_every_ctc_loss_is_seen_and_predictions_are_not(data):
    model = model_of(
        data,
        dict(num_blocks=2, interctc_layer_idx=[1]),
        dict(HYBRID, interctc_weight=0.5),
    )
    with posteriors(model) as gathered:
        model(**batch())
        model.ctc.softmax(torch.randn(1, 7, 8))
    assert len(gathered) == 4  # two layers, masked and at full width
    assert not model.ctc._forward_pre_hooks and not model.ctc.ctc_lo._forward_hooks


def test_a_model_without_ctc_or_with_trimming_is_refused_when_it_is_built(data):
    with pytest.raises(ValueError, match="distillation needs a model with CTC"):
        model_of(data, model_conf=dict(HYBRID, ctc_weight=0.0), ramp_start=0.3)
    trimming = dict(num_blocks=2, interctc_layer_idx=[1], ctc_trim=True)
    with pytest.raises(ValueError, match="distillation does not go with .*ctc_trim"):
        model_of(data, trimming, ramp_start=0.3)
    model_of(data, trimming, distillation=0.0)


@pytest.mark.parametrize("share", [0.2, 0.7])
def test_intermediate_layers_count_as_in_the_loss(data, share):
    model = model_of(
        data,
        dict(num_blocks=3, interctc_layer_idx=[1, 2]),
        dict(HYBRID, interctc_weight=share),
        initial_logit=1.0,
    )
    seen = []
    real = Posteriors.divergence_from
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            Posteriors,
            "divergence_from",
            lambda self, other: seen.append(real(self, other)) or seen[-1],
        )
        _, stats, _ = model(**batch())
    last, first, second = seen
    expected = (1 - share) * last + share * 0.5 * (first + second)
    assert torch.allclose(stats["distillation"], expected.detach())


def test_the_penalty_is_relative_to_the_masked_network_s_loss(data):
    model = model_of(data, initial_logit=1.0, distillation=50.0)
    loss, stats, _ = model(**batch())
    average = model.encoder.control.loss_average
    assert torch.allclose(average, stats["loss"].mean())
    assert loss > 2 * average


@pytest.mark.parametrize("normalize", ["utterance_mvn", None])
def test_features_without_a_frontend_are_augmented_and_normalised_once(data, normalize):
    gates = dict(target_reduction=0.2, total_steps=10, ramp_start=0.0)
    conf = encoder_conf(**gates, distillation=0.5, forward="deterministic")
    masking = dict(
        apply_time_warp=False,
        freq_mask_width_range=[0, 6],
        time_mask_width_range=[0, 9],
    )
    model = build_model(
        data,
        encoder_conf={**conf, **WITHOUT_DROPOUT},
        model_conf=HYBRID,
        frontend=None,
        frontend_conf={},
        input_size=20,
        normalize=normalize,
        specaug="specaug",
        specaug_conf=masking,
    ).train()
    features = torch.randn(3, 60, 20)
    lengths = torch.tensor([60, 50, 40])
    texts = {name: value for name, value in batch().items() if "text" in name}
    given = features.clone()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.functional, "dropout", lambda x, *_, **__: x)
        loss, stats, _ = model(speech=given, speech_lengths=lengths, **texts)
    loss.sum().backward()
    assert torch.equal(given, features), "the batch itself stays as it is"
    assert torch.allclose(stats["full_width_loss"], stats["loss"], rtol=1e-5)


def test_both_passes_are_augmented_alike_and_go_on_at_random():
    from espnet2.asr.specaug.specaug import SpecAug

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.specaug = SpecAug(
                time_warp_window=3,
                freq_mask_width_range=(0, 8),
                time_mask_width_range=(0, 20),
                num_time_mask=2,
            )

        def forward(self, x):
            before = torch.rand(1)
            x, _ = self.specaug(x.clone(), torch.tensor([x.size(1)]))
            return x, before, torch.rand(1)

    model = Model()
    features = torch.randn(1, 60, 20)
    same = SameAugmentation(model)
    with same.first():
        one = model(features)
    with same.again():
        two = model(features)
    three = model(features)
    assert torch.equal(one[0], two[0])
    assert not torch.equal(one[1], two[1]) and not torch.equal(one[2], two[2])
    assert not torch.equal(three[0], one[0])
