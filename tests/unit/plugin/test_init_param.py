"""Warm start: stock checkpoints of any release and form, gates left out."""

from pathlib import Path

import pytest
import torch
from espnet2.tasks.asr import ASRTask
from support.encoders import difference, randomise
from support.experiments import model_options, write_config
from support.tiny_training import (
    batch,
    build_model,
    command,
    complete,
    encoder_conf,
    model_before_training,
    parse,
)

from espnet_adaptive_dropout.bin import prune

CONFORMERS = {
    "latest": dict(rel_pos_type="latest"),
    # Releases before 0.9.8 knew no other; their configs do not name it.
    "legacy": dict(rel_pos_type="legacy", macaron_style=True),
    "absolute": dict(pos_enc_layer_type="abs_pos", selfattention_layer_type="selfattn"),
    "linear": dict(input_layer="linear"),
}


def options_of(conformer, **gates):
    options = {**encoder_conf(**gates), **CONFORMERS[conformer]}
    if not gates:
        del options["adaptive_dropout_conf"]
    return options


def stock_model(data, conformer):
    """A stock model with random weights, also where a new model has zeros."""
    stock = dict(encoder="conformer", model="espnet")
    model = build_model(data, encoder_conf=options_of(conformer), **stock)
    randomise(model)
    return model.eval()


def of_another_release(state):
    """Releases before and after 202604 differ in the subsampling's last layer."""
    renamed = {}
    for key, value in state.items():
        old, new = "encoder.embed.out.0.", "encoder.embed.out."
        if key.startswith(old):
            key = key.replace(old, new)
        elif key.startswith(new):
            key = key.replace(new, old)
        renamed[key] = value
    return renamed


FORMS = {
    "model file": lambda state: state,
    "trainer's checkpoint": lambda state: {
        "model": state,
        "optimizers": [],
        "epoch": 3,
    },
    "other trainer's": lambda state: {"module": state},
}


def warm_started(arguments):
    """The model before the first step, and the options that it was made by."""
    return model_before_training(arguments).eval(), parse(complete(arguments))


@torch.no_grad()
def outputs(model):
    torch.manual_seed(0)
    encoded, lengths = model.encode(batch()["speech"], batch()["speech_lengths"])
    loss, stats, _ = model(**batch())
    return encoded, lengths, loss, stats["loss_ctc"], stats["loss_att"]


def assert_same(first, second):
    for ours, theirs in zip(outputs(first), outputs(second)):
        assert torch.allclose(ours, theirs, atol=1e-5), (ours, theirs)


def prune_all(adaptive, args, tmp_path):
    """Write the experiment and prune it; returns the compact one's directory."""
    trained, compact = tmp_path / "exp", tmp_path / "compact"
    trained.mkdir(exist_ok=True)
    write_config(trained, args)
    torch.save(adaptive.state_dict(), trained / "valid.pth")
    prune.main([*model_options(trained), "--output_dir", str(compact)])
    return compact


@pytest.mark.parametrize("release", ["this", "another"])
@pytest.mark.parametrize("conformer", CONFORMERS)
def test_adaptive_then_compact_equal_the_original(conformer, release, data, tmp_path):
    stock = stock_model(data, conformer)
    state = stock.state_dict()
    if release == "another":
        state = of_another_release(state)
        assert (state.keys() != stock.state_dict().keys()) == (conformer != "linear")
    torch.save(state, tmp_path / "stock.pth")
    arguments = command(
        *(data, tmp_path / "exp"),
        # By this schedule, what goes is what p = 0.5 says; nothing, at the start.
        encoder_conf=options_of(conformer, control="schedule"),
        init_param=[str(tmp_path / "stock.pth")],
    )
    adaptive, args = warm_started(arguments)
    assert adaptive.encoder.control is not None
    assert_same(adaptive, stock)
    pruned = prune_all(adaptive, args, tmp_path)
    compact, _ = ASRTask.build_model_from_file(
        pruned / "config.yaml", pruned / "valid.pth", "cpu"
    )
    assert "Compact" in type(compact.encoder).__name__
    assert_same(compact.eval(), stock)


@pytest.mark.parametrize("suffix", ["", ":encoder:encoder"])
@pytest.mark.parametrize("form", FORMS)
def test_files_of_all_forms(form, suffix, data, tmp_path):
    stock = stock_model(data, "latest")
    path = tmp_path / "stock.pth"
    torch.save(FORMS[form](of_another_release(stock.state_dict())), path)
    arguments = command(
        *(data, tmp_path / "exp"),
        encoder_conf=options_of("latest", target_reduction=0.2),
        init_param=[f"{path}{suffix}"],
    )
    model, args = warm_started(arguments)
    features = torch.randn(2, 60, 20), torch.tensor([60, 41])
    assert difference(model.encoder, stock.encoder, *features) < 1e-5
    if suffix == "":
        assert_same(model, stock)
    # What ESPnet can read is not copied.
    written = [path.name for path in (tmp_path / "exp").glob("*")]
    copied = form == "trainer's checkpoint"
    assert written == (["init_param1.pth"] if copied else [])
    assert args.init_param[0].startswith(str(path)) != copied


def lightning_model(arguments):
    """The model as ESPnet's Lightning trainer has it before the first step."""
    pytest.importorskip("lightning", reason="the trainer is Lightning's")
    from espnet2.train.lightning_espnet_model import LitESPnetModel

    args = parse(arguments)
    args.task = "asr"
    args.lightning_conf = dict(max_epochs=3, accelerator="cpu", devices=1)
    Path(args.output_dir).mkdir()
    return LitESPnetModel(args).model.eval()


@pytest.mark.parametrize("form", FORMS)
def test_the_lightning_trainer_loads_it(form, data, tmp_path):
    stock = stock_model(data, "latest")
    path = tmp_path / "stock.pth"
    torch.save(FORMS[form](of_another_release(stock.state_dict())), path)
    adaptive = lightning_model(
        command(
            *(data, tmp_path / "exp"),
            encoder_conf=options_of("latest", target_reduction=0.2),
            init_param=[str(path)],
        )
    )
    assert adaptive.encoder.control.step == 0
    assert_same(adaptive, stock)


def test_the_lightning_trainer_loads_a_compact_model(data, tmp_path):
    stock = stock_model(data, "latest")
    torch.save(stock.state_dict(), tmp_path / "stock.pth")
    arguments = command(
        *(data, tmp_path / "exp"),
        encoder_conf=options_of("latest", control="schedule"),
        init_param=[str(tmp_path / "stock.pth")],
    )
    compact = prune_all(*warm_started(arguments), tmp_path)
    fine_tuned = lightning_model(
        [
            *("--config", str(compact / "config.yaml")),
            *("--init_param", str(compact / "valid.pth")),
            *("--output_dir", str(tmp_path / "fine")),
        ]
    )
    assert "Compact" in type(fine_tuned.encoder).__name__
    assert_same(fine_tuned, stock)


def test_the_lightning_trainer_refuses_what_it_cannot_read(data, tmp_path):
    missing = tmp_path / "missing.pth"
    arguments = command(data, tmp_path / "exp", init_param=[str(missing)])
    with pytest.raises(SystemExit, match=f"--init_param {missing}: cannot read"):
        lightning_model(arguments)
