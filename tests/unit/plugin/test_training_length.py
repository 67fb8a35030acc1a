import re
from pathlib import Path

import pytest
import torch
import yaml
from support.tiny_training import (
    LATE_FREEZE,
    TEXTS,
    build_model,
    command,
    complete,
    completed_conf,
    encoder_conf,
    model_before_training,
    parse,
    write_data,
)

from espnet_adaptive_dropout.plugin.epoch_length import steps_per_epoch

# ---- number of steps


@pytest.mark.parametrize(
    "changes, steps",
    [
        (dict(batch_type="numel", batch_bins=20000), 2 * 3),
        (dict(batch_type="numel", batch_bins=20000, drop_last_iter=True), 2 * 2),
        (dict(num_iters_per_epoch=3), 2 * 3),
        (dict(accum_grad=2), 2 * 4),
        (dict(max_epoch=3), 3 * 4),
        (dict(batch_type="folded", batch_size=9, fold_length=[4000, 9]), 2 * 3),
        # Never fewer than min_batch_size in a batch.
        (
            dict(
                batch_type="folded",
                batch_size=9,
                fold_length=[4000, 9],
                min_batch_size=6,
            ),
            2 * 1,
        ),
    ],
)
def test_settings_that_change_the_number(changes, steps, data, tmp_path):
    arguments = command(data, tmp_path / "exp", **changes)
    assert completed_conf(arguments)["total_steps"] == steps


def test_categories_change_the_batches(tmp_path):
    data = write_data(tmp_path / "data")
    arguments = command(
        data, tmp_path / "exp", batch_type="folded", fold_length=[9000, 9], batch_size=9
    )
    assert steps_per_epoch(parse(arguments)) == 1
    lines = [f"utt{index} {'ab'[index % 2]}\n" for index in range(len(TEXTS))]
    (data / "utt2category").write_text("".join(lines))
    assert steps_per_epoch(parse(arguments)) == 2


def test_distributed_batches_have_an_utterance_for_each_process(data, tmp_path):
    settings = dict(batch_type="folded", batch_size=9, fold_length=[1000, 9])
    alone = command(data, tmp_path / "exp", **settings)
    sizes = {ngpu: parse([*alone, "--ngpu", str(ngpu)]) for ngpu in (0, 1, 3)}
    for args in sizes.values():
        args.multiprocessing_distributed = True
    assert steps_per_epoch(sizes[0]) == steps_per_epoch(sizes[1])
    assert steps_per_epoch(sizes[3]) < steps_per_epoch(sizes[1])


# ---- what is left alone, what is added


def test_explicit_values_stay(data, tmp_path):
    given = dict(LATE_FREEZE, target_reduction=0.2, accum_grad=3, history_dir="")
    conf = encoder_conf(**given, total_steps=7)
    arguments = command(data, tmp_path / "exp", encoder_conf=conf)
    assert complete(arguments) == arguments
    conf = encoder_conf(**given)
    arguments = command(data, tmp_path / "exp", encoder_conf=conf)
    assert completed_conf(arguments) == dict(given, total_steps=8)


def test_histograms_go_beside_the_training(data, tmp_path):
    arguments = command(data, tmp_path / "exp")
    assert completed_conf(arguments)["history_dir"] == str(tmp_path / "exp")


@pytest.mark.parametrize(
    "changes, extra",
    [
        (dict(encoder="conformer", encoder_conf={}, model="espnet"), []),
        (dict(encoder_conf=encoder_conf(locations=[])), []),
        ({}, ["--collect_stats", "true"]),
        ({}, ["--print_config"]),
    ],
)
def test_other_commands_stay_as_they_are(changes, extra, data, tmp_path):
    arguments = [*command(data, tmp_path / "exp", **changes), *extra]
    # None of them may need what a training needs.
    bare = [a for a in arguments if not a.endswith("_shape")]
    bare = [a for a in bare if not a.endswith("_shape_file")]
    assert complete(bare) == bare


# ---- refusals


def refusal(arguments):
    with pytest.raises(ValueError) as caught:
        complete(arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_missing_shape_files(data, tmp_path):
    arguments = command(data, tmp_path / "exp")
    missing = [a.replace("speech_shape", "none_shape") for a in arguments]
    message = refusal(missing)
    assert "none_shape" in message and "stage" in message
    message = refusal([*arguments, "--multiple_iterator", "true"])
    assert "num_splits" in message


def test_iterators_of_unknown_length(data, tmp_path):
    arguments = command(data, tmp_path / "exp", iterator_type="chunk")
    message = refusal(arguments)
    assert "iterator_type=chunk" in message and "total_steps" in message
    counted = [*arguments, "--num_iters_per_epoch", "6"]
    assert completed_conf(counted)["total_steps"] == 12


@pytest.mark.parametrize(
    "epochs, wanted, kept",
    [(10, [3], [2]), (12, [3], [2]), (50, [10], [8]), (50, [5, 10], [5, 8])]
    # Epoch 17 ends exactly where the size is frozen, in the step after it.
    + [(20, [4], [3]), (20, [3], [3])],
)
def test_only_epochs_of_the_final_size_are_averaged(
    epochs, wanted, kept, data, tmp_path, caplog
):
    arguments = command(
        data, tmp_path / "exp", max_epoch=epochs, keep_nbest_models=wanted
    )
    assert parse(complete(arguments)).keep_nbest_models == kept
    said = f"keep_nbest_models={wanted[-1]}: only {kept[-1]} of {epochs} epochs end"
    assert (said in caplog.text) == (wanted != kept)


def test_all_epochs_are_averaged_where_the_size_is_never_frozen(data, tmp_path):
    conf = encoder_conf(target_reduction=0.2, freeze_at=1.0)
    changes = dict(encoder_conf=conf, keep_nbest_models=3, max_epoch=10, patience=2)
    args = parse(complete(command(data, tmp_path / "exp", **changes)))
    assert (args.keep_nbest_models, args.patience) == (3, 2)


@pytest.mark.parametrize(
    "criterion, words",
    [
        (["valid", "acc", "max"], "best_model_criterion acc may select .* final_acc"),
        (["train", "final_acc", "max"], "criterion train final_acc: .* 'valid'"),
    ],
)
def test_criteria_that_select_another_size_or_nothing(criterion, words, data, tmp_path):
    arguments = command(data, tmp_path / "exp", best_model_criterion=[criterion])
    assert re.search(words, refusal(arguments))


def test_accuracy_of_a_model_without_one(data, tmp_path):
    changes = dict(
        best_model_criterion=[["valid", "final_acc", "max"]],
        model_conf=dict(ctc_weight=1.0),
    )
    message = refusal(command(data, tmp_path / "exp", **changes))
    assert "final_acc" in message and "use final_loss (min)" in message


def test_a_training_that_is_to_be_frozen_does_not_stop_early(data, tmp_path, caplog):
    arguments = command(data, tmp_path / "exp", patience=3)
    assert parse(complete(arguments)).patience is None
    assert "patience=3" in caplog.text


def test_models_that_are_spread_over_devices(data, tmp_path):
    arguments = [*command(data, tmp_path / "exp"), "--ngpu", "2"]
    complete([*arguments, "--multiprocessing_distributed", "true"])
    message = refusal([*arguments, "--multiprocessing_distributed", "false"])
    assert "multiprocessing_distributed true" in message
    assert "use_deepspeed" in refusal([*arguments, "--use_deepspeed", "true"])


def test_checkpoints_without_the_logits(data, tmp_path):
    arguments = command(data, tmp_path / "exp")
    message = refusal([*arguments, "--save_strategy", "required_grad_only"])
    assert "save_strategy: all" in message
    complete([*arguments, "--save_strategy", "all"])


# ---- initial weights


def test_stock_checkpoints_and_the_other_arguments_stay(data, tmp_path):
    stock = dict(encoder="conformer", model="espnet")
    conf = encoder_conf()
    del conf["adaptive_dropout_conf"]
    model = build_model(data, encoder_conf=conf, **stock)
    path = tmp_path / "stock.pth"
    torch.save(model.state_dict(), path)
    arguments = command(data, tmp_path / "exp", init_param=[str(path)])
    completed = complete([*arguments, "--seed", "3"])
    args = parse(completed)
    assert args.init_param == [str(path)]
    assert args.seed == 3
    assert completed[: len(arguments)] == arguments
    new = model_before_training(arguments).state_dict()
    for name, tensor in model.state_dict().items():
        assert torch.equal(new[name], tensor), name


def test_initial_checkpoint_that_is_not_there(data, tmp_path):
    arguments = command(data, tmp_path / "exp", init_param=[f"{tmp_path}/none.pth"])
    assert "none.pth" in refusal(arguments)
    (tmp_path / "cut.pth").write_bytes(b"PK\x03\x04 cut short")
    arguments = command(data, tmp_path / "exp", init_param=[f"{tmp_path}/cut.pth"])
    assert "cut.pth" in refusal(arguments)


# ---- resuming with other settings


@pytest.fixture(scope="module")
def unfinished(data, tmp_path_factory):
    """A function that starts a training of 2 epochs of 4 steps that stops early."""
    root = tmp_path_factory.mktemp("unfinished")

    def begin(**state):
        """Write what ESPnet would have left after one epoch."""
        arguments = [*command(data, root / "exp"), "--resume", "true"]
        (root / "exp").mkdir(exist_ok=True)
        args = parse(arguments)
        saved = {"encoder": args.encoder, "encoder_conf": args.encoder_conf}
        (root / "exp" / "config.yaml").write_text(yaml.safe_dump(saved))
        state = {"epoch": 1, "step": 4.0, "frozen": 0.0, **state}
        control = {
            f"encoder.control.{name}": torch.tensor(state[name])
            for name in ("step", "frozen")
        }
        content = {"model": control, "reporter": {"epoch": state["epoch"]}}
        torch.save(content, root / "exp" / "checkpoint.pth")
        return arguments

    return begin


@pytest.mark.parametrize(
    "changes, words",
    [
        (dict(target_reduction=0.3), "target_reduction: 0.3, but .*: 0.2"),
        (dict(family=[0.1]), r"family: \[0.1\], but .*: \[\]"),
        (dict(locations=["ffn"]), r"locations: \['ffn'\], but .*: \['conv_input', "),
        (dict(cost="macs"), "cost: macs, but .*: parameters"),
        (dict(budget="block"), "budget: block, but .*: encoder"),
        (dict(multiple_of=8), "multiple_of: 8, but .*: 1"),
    ],
)
@pytest.mark.parametrize("state", [{}, dict(epoch=2, step=8.0, frozen=1.0)])
def test_another_size_is_refused_on_resume(changes, words, state, unfinished):
    arguments = unfinished(**state)
    conf = [f"adaptive_dropout_conf.{name}={value}" for name, value in changes.items()]
    changed = [*arguments, *(word for c in conf for word in ("--encoder_conf", c))]
    message = refusal(changed)
    assert re.search(words, message) and "another --output_dir" in message
    complete(arguments)
    complete([*changed, "--resume", "false"])


def test_a_training_of_another_encoder_is_not_resumed(unfinished):
    arguments = unfinished()
    path = Path(arguments[arguments.index("--output_dir") + 1]) / "config.yaml"
    path.write_text("encoder: conformer\nencoder_conf: {}\n")
    assert "with encoder: conformer" in refusal(arguments)


def test_the_length_follows_epochs_of_another_length(unfinished):
    arguments = unfinished()
    assert completed_conf(arguments)["total_steps"] == 4 + 4
    # Nine batches in the second epoch
    assert completed_conf([*arguments, "--batch_size", "1"])["total_steps"] == 4 + 9
    assert completed_conf([*arguments, "--max_epoch", "4"])["total_steps"] == 4 + 3 * 4


def test_a_resumed_training_that_would_not_be_frozen(unfinished):
    arguments = unfinished(epoch=3, step=12.0)
    message = refusal(arguments)
    assert "max_epoch=2" in message and "holds 3 epochs" in message
    assert "more than 3" in message
    complete([*arguments, "--max_epoch", "4"])
    complete(unfinished(epoch=3, step=12.0, frozen=1.0))
    total = ["--encoder_conf", "adaptive_dropout_conf.total_steps=100"]
    message = refusal([*unfinished(), *total])
    assert "total_steps=100" in message and "ends at step 8" in message
    assert "at step 85" in message


def test_a_checkpoint_that_cannot_be_resumed_from(unfinished):
    arguments = unfinished()
    path = Path(arguments[arguments.index("--output_dir") + 1]) / "checkpoint.pth"
    path.write_bytes(path.read_bytes()[:100])
    message = refusal(arguments)
    assert "checkpoint.pth" in message and "another --output_dir" in message


def test_an_older_release_s_logit_scale_is_kept(unfinished):
    arguments = unfinished()
    assert "logit_scale" not in completed_conf(arguments)
    path = Path(arguments[arguments.index("--output_dir") + 1]) / "config.yaml"
    config = yaml.safe_load(path.read_text())
    config["encoder_conf"]["adaptive_dropout_conf"]["logit_scale"] = 3.5
    path.write_text(yaml.safe_dump(config))
    assert completed_conf(arguments)["logit_scale"] == 3.5
    assert "logit_scale" not in completed_conf([*arguments, "--resume", "false"])
