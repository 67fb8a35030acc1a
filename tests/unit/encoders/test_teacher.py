"""An existing model as the teacher."""

from __future__ import annotations

import pytest
import torch
from support.tiny_training import batch, build_model, command, complete, encoder_conf

from espnet_adaptive_dropout.stacks.training_cut import cut_training

HYBRID = dict(ctc_weight=0.3, report_cer=False, report_wer=False)
SCHEDULE = dict(target_reduction=0.2, ramp_start=0.0, total_steps=10, distillation=0.5)


def conf_of(encoder=None, **gates):
    return {**encoder_conf(**gates), "dropout_rate": 0.0, **(encoder or {})}


@pytest.fixture
def original(data, tmp_path):
    """A stock model, and the file of its weights."""

    def make(encoder=None, model_conf=HYBRID, **changes):
        options = conf_of(encoder)
        del options["adaptive_dropout_conf"]
        model = build_model(
            data,
            encoder="conformer",
            encoder_conf=options,
            model="espnet",
            model_conf=model_conf,
            **changes,
        ).eval()
        with torch.no_grad():
            for weight in model.parameters():
                weight += 0.1 * torch.randn_like(weight)
        torch.save(model.state_dict(), tmp_path / "original.pth")
        return model, str(tmp_path / "original.pth")

    return make


def student_of(data, file, encoder=None, model_conf=HYBRID, **gates):
    conf = conf_of(encoder, **{**SCHEDULE, "teacher": file, **gates})
    return build_model(data, encoder_conf=conf, model_conf=model_conf).train()


def divergence(student, teacher, lengths):
    total = 0.0
    for mine, other, n in zip(student, teacher, lengths):
        total += torch.nn.functional.kl_div(
            mine[:n].log_softmax(-1),
            other[:n].log_softmax(-1),
            reduction="sum",
            log_target=True,
        )
    return total / len(lengths)


@pytest.mark.parametrize("ctc_weight", [0.0, 0.3, 1.0])
def test_loss_is_that_of_the_student_and_the_divergence(data, original, ctc_weight):
    model_conf = dict(HYBRID, ctc_weight=ctc_weight)
    stock, file = original(model_conf=model_conf)
    student = student_of(data, file, model_conf=model_conf, initial_logit=1.0)
    seen = {}

    def keep(name):
        def hook(module, args, output):
            seen.setdefault(name, (args, output))  # the teacher's copies have it too

        return hook

    student.encoder.register_forward_hook(keep("encoder"))
    if student.ctc is not None:
        student.ctc.ctc_lo.register_forward_hook(keep("ctc"))
    if student.decoder is not None:
        student.decoder.register_forward_hook(keep("decoder"))
    loss, stats, _ = student(**batch())

    expected = 0.0
    with torch.no_grad():
        (features, lengths), _ = seen["encoder"]
        output, lengths, _ = stock.encoder(features, lengths)
        if student.ctc is not None:
            other = stock.ctc.ctc_lo(output)
            expected += ctc_weight * divergence(seen["ctc"][1], other, lengths)
        if student.decoder is not None:
            (_, _, tokens, numbers), (mine, _) = seen["decoder"]
            other, _ = stock.decoder(output, lengths, tokens, numbers)
            expected += (1 - ctc_weight) * divergence(mine, other, numbers)
    assert stats["distillation"] > 1e-3
    assert torch.allclose(stats["distillation"], expected.detach(), rtol=1e-4)
    assert torch.allclose(loss, stats["loss"] + 0.5 * stats["distillation"])


@pytest.mark.parametrize("ctc_weight", [0.3, 1.0])
def test_a_compact_model_is_taught_by_the_model_before_the_cut(
    data, original, ctc_weight
):
    model_conf = dict(HYBRID, ctc_weight=ctc_weight)
    stock, file = original(model_conf=model_conf)
    narrow = dict(ffn=5, query=[2, 3], value=[4, 1], conv_input="0-5")
    conf = conf_of(dict(widths=[narrow], teacher=file))
    del conf["adaptive_dropout_conf"]
    heads = dict.fromkeys(
        ("self_query", "self_value", "source_query", "source_value"), [2, 1]
    )
    decoder_conf = dict(attention_heads=2, linear_units=8, num_blocks=1)
    student = build_model(
        data,
        encoder="compact_conformer",
        encoder_conf=conf,
        decoder="compact_transformer",
        decoder_conf=dict(decoder_conf, widths=[dict(heads, ffn=3)]),
        model="espnet",
        model_conf=model_conf,
    ).train()
    names = set(student.state_dict())
    inputs, logits = [], []
    student.encoder.register_forward_hook(
        lambda module, args, output: inputs.append(args)
    )
    student.ctc.ctc_lo.register_forward_hook(
        lambda module, args, output: logits.append(output)
    )
    loss, stats, _ = student(**batch())
    loss.sum().backward()
    with torch.no_grad():
        output, lengths, _ = stock.encoder(*inputs[0])
        expected = divergence(logits[0], stock.ctc.ctc_lo(output), lengths).detach()
    if ctc_weight == 1.0:
        assert torch.allclose(stats["distillation"], expected, rtol=1e-4)
    else:
        assert stats["distillation"] > ctc_weight * expected
    assert torch.allclose(loss, stats["loss"] + 0.5 * stats["distillation"])
    assert set(student.state_dict()) == names
    student.eval()
    assert "distillation" not in student(**batch())[1]


def test_the_teacher_is_no_part_of_the_model(data, original):
    _, file = original()
    student = student_of(data, file)
    names, weights = set(student.state_dict()), list(student.parameters())
    torch.manual_seed(3)
    loss, _, _ = student(**batch())
    loss.sum().backward()
    assert set(student.state_dict()) == names
    assert [id(w) for w in student.parameters()] == [id(w) for w in weights]
    teacher = student.adaptive_dropout_teacher
    for part in (teacher.encoder, teacher.ctc, teacher.decoder):
        assert not part.training
        assert not any(w.requires_grad or w.grad is not None for w in part.parameters())
    student(**batch())
    assert student.adaptive_dropout_teacher is teacher


def test_the_random_numbers_of_the_training_are_left_alone(data, original):
    _, file = original()
    drawn = []
    for distillation, teacher in ((0.5, file), (0.0, None)):
        student = student_of(data, teacher, distillation=distillation)
        torch.manual_seed(3)
        student(**batch())
        drawn.append(torch.rand(1))
    assert torch.equal(*drawn)


def test_it_teaches_on_after_the_cut(data, original):
    _, file = original()
    student = student_of(data, file, ramp_end=0.1, freeze_at=0.1, initial_logit=1.0)
    for _ in range(3):
        loss, _, _ = student(**batch())
        loss.sum().backward()
    cut_training(student.encoder, [])
    del student.adaptive_dropout_teacher  # as in a training resumed after the cut
    _, stats, _ = student(**batch())
    assert student.encoder.training_cut is not None
    assert stats["distillation"] > 0


@pytest.mark.parametrize("conditioning", [False, True])
def test_intermediate_layers_are_taught(data, original, conditioning):
    encoder = dict(
        num_blocks=3,
        interctc_layer_idx=[1, 2],
        interctc_use_conditioning=conditioning,
    )
    model_conf = dict(ctc_weight=1.0, interctc_weight=0.3, report_cer=False)
    stock, file = original(encoder, model_conf)
    student = student_of(data, file, encoder, model_conf, initial_logit=1.0)
    logits, inputs = [], []
    student.encoder.register_forward_hook(
        lambda module, args, output: inputs.append(args)
    )
    student.ctc.ctc_lo.register_forward_hook(
        lambda module, args, output: logits.append(output)
    )
    _, stats, _ = student(**batch())
    options = dict(ctc=stock.ctc) if conditioning else {}
    with torch.no_grad():
        (last, intermediate), lengths, _ = stock.encoder(*inputs[0], **options)
        others = [stock.ctc.ctc_lo(x) for x in (last, *(x for _, x in intermediate))]
    # With conditioning, the encoder asks for logits before; the teacher comes last.
    before = 2 if conditioning else 0
    mine = logits[before : before + 3]
    last, first, second = (divergence(m, o, lengths) for m, o in zip(mine, others))
    expected = 0.7 * last + 0.3 * 0.5 * (first + second)
    assert torch.allclose(stats["distillation"], expected.detach(), rtol=1e-4)


def test_wrong_files_are_refused(data, original, tmp_path):
    _, file = original()
    gates = dict(total_steps=None, ramp_start=0.2)
    for teacher, message in (
        ("no/such.pth", "adaptive_dropout_conf.teacher: no/such.pth: cannot read"),
        (file, None),
    ):
        arguments = command(
            *(data, tmp_path / "exp"),
            encoder_conf=conf_of(**{**SCHEDULE, **gates, "teacher": teacher}),
        )
        if message is None:
            complete(arguments)
        else:
            with pytest.raises(ValueError, match=message):
                complete(arguments)
    gated = student_of(data, None, distillation=0.0)
    torch.save(gated.state_dict(), tmp_path / "gated.pth")
    with pytest.raises(ValueError, match="gated.pth is of a training with adaptive"):
        student_of(data, str(tmp_path / "gated.pth"))(**batch())
    narrow = student_of(data, file, dict(linear_units=8))
    with pytest.raises(ValueError, match="original.pth: config and checkpoint do not"):
        narrow(**batch())
    with pytest.raises(ValueError, match="teacher needs .*distillation"):
        student_of(data, file, distillation=0.0)
