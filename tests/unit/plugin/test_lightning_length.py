"""ESPnet2's Lightning trainer: how long its trainings are."""

import types

import pytest
import torch
import yaml
from support.tiny_training import (
    BATCHES,
    LATE_FREEZE,
    LIGHTNING,
    command,
    encoder_conf,
    parse,
)

from espnet_adaptive_dropout.plugin.lightning_length import complete_lightning
from espnet_adaptive_dropout.plugin.task_hooks import hook_lightning


def arguments_of(data, output, **changes):
    """Arguments of a training, with the options of ``lightning_train`` added."""
    args = parse(command(data, output, **changes.pop("config", {})))
    args.lightning_conf = {**LIGHTNING, **changes}
    return args


def completed(args):
    complete_lightning(args)
    return args.encoder_conf["adaptive_dropout_conf"]


@pytest.mark.parametrize(
    "changes, steps",
    [
        ({}, 3 * BATCHES),
        (dict(accumulate_grad_batches=2), 3 * BATCHES),
        (dict(limit_train_batches=2), 3 * 2),
        (dict(limit_train_batches=0.5), 3 * 2),
        (dict(max_steps=7), 7),
        (dict(max_steps=7, max_epochs=None), 7),
        (dict(max_steps=100), 3 * BATCHES),
        # Updates of 3 and 1 batches in every epoch.
        (dict(max_steps=5, accumulate_grad_batches=3), 2 * BATCHES + 3),
        (dict(devices=3, num_nodes=3), 3 * 1),
        (dict(devices="3"), 3 * 3),
        (dict(devices=[0, 1, 2]), 3 * 3),
    ],
)
def test_number_of_steps(changes, steps, data, tmp_path):
    folded = dict(batch_type="folded", fold_length=[2000, 9], batch_size=9)
    config = folded if "devices" in changes else {}
    args = arguments_of(data, tmp_path / "exp", config=config, **changes)
    assert completed(args)["total_steps"] == steps
    accum_grad = args.encoder_conf["adaptive_dropout_conf"].get("accum_grad")
    assert accum_grad == changes.get("accumulate_grad_batches")


def test_what_is_set_stays_and_other_encoders_are_left_alone(data, tmp_path):
    config = dict(encoder_conf=encoder_conf(**LATE_FREEZE, total_steps=7, accum_grad=3))
    conf = completed(arguments_of(data, tmp_path / "exp", config=config))
    assert (conf["total_steps"], conf["accum_grad"]) == (7, 3)
    assert conf["history_dir"] == str(tmp_path / "exp")
    stock = dict(encoder="conformer", encoder_conf={}, model="espnet")
    args = arguments_of(data, tmp_path / "exp", config=stock, max_epochs=-1)
    complete_lightning(args)
    assert args.encoder_conf == {}


def write_checkpoint(directory, epochs=1, frozen=0.0):
    """What Lightning would have left after some epochs."""
    directory.mkdir(exist_ok=True)
    control = dict(step=float(epochs * BATCHES), frozen=frozen)
    state = {f"model.encoder.control.{n}": torch.tensor(v) for n, v in control.items()}
    content = {"pytorch-lightning_version": "2.5", "epoch": epochs - 1}
    torch.save({**content, "state_dict": state}, directory / "last.ckpt")


def test_a_resumed_training_that_would_not_be_frozen(data, tmp_path):
    write_checkpoint(tmp_path / "exp", epochs=3)
    with pytest.raises(ValueError, match="max_epoch=3, but .* holds 3 epochs"):
        completed(arguments_of(data, tmp_path / "exp"))
    completed(arguments_of(data, tmp_path / "exp", max_epochs=4))
    write_checkpoint(tmp_path / "exp", epochs=3, frozen=1.0)
    completed(arguments_of(data, tmp_path / "exp"))


def test_only_epochs_of_the_final_size_are_averaged(data, tmp_path, caplog):
    criteria = [["step", "max", 3], ["valid/final_loss", "min", 2]]
    changes = dict(best_model_criterion=criteria, max_epochs=10)
    args = arguments_of(data, tmp_path / "exp", **changes)
    completed(args)
    kept = [["step", "max", 2], ["valid/final_loss", "min", 2]]
    assert args.lightning_conf["best_model_criterion"] == kept
    assert "keep_nbest_models=3: only 2 of 10 epochs" in caplog.text


def test_a_continued_training_keeps_its_size(data, tmp_path):
    first = arguments_of(data, tmp_path / "exp")
    completed(first)
    (tmp_path / "exp").mkdir()
    (tmp_path / "exp" / "config.yaml").write_text(
        yaml.safe_dump({"encoder": first.encoder, "encoder_conf": first.encoder_conf})
    )
    write_checkpoint(tmp_path / "exp")
    other = dict(encoder_conf=encoder_conf(target_reduction=0.3))
    with pytest.raises(ValueError, match="target_reduction: 0.3, but .*: 0.2, which"):
        completed(arguments_of(data, tmp_path / "exp", config=other))


@pytest.mark.parametrize(
    "changes, words",
    [
        (dict(max_epochs=-1), "max_epochs or max_steps"),
        (dict(max_epochs=None), "max_epochs or max_steps"),
        (dict(strategy="fsdp"), "strategy: ddp"),
        (dict(max_time="00:01:00"), "lightning_conf.max_time"),
        (dict(overfit_batches=1), "lightning_conf.overfit_batches"),
        (dict(best_model_criterion=[["valid/acc", "max", 1]]), "use final_acc"),
    ],
)
def test_refusals(changes, words, data, tmp_path):
    with pytest.raises(ValueError, match=words) as refusal:
        completed(arguments_of(data, tmp_path / "exp", **changes))
    assert "\n" not in str(refusal.value)


def test_the_trainer_s_model_is_hooked_once(data, tmp_path):
    class LitESPnetModel:
        def __init__(self, args):
            self.args, self.model = args, None

    module = types.SimpleNamespace(LitESPnetModel=LitESPnetModel)
    hook_lightning(module)
    hooked = LitESPnetModel.__init__
    hook_lightning(module)
    assert LitESPnetModel.__init__ is hooked
    args = LitESPnetModel(arguments_of(data, tmp_path / "exp")).args
    assert args.encoder_conf["adaptive_dropout_conf"]["total_steps"] == 3 * BATCHES
    with pytest.raises(SystemExit, match="^espnet_adaptive_dropout: .*max_epochs"):
        LitESPnetModel(arguments_of(data, tmp_path / "exp", max_epochs=-1))
