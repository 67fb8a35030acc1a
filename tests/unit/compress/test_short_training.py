"""The config of the short training follows from the model and the data."""

import shutil

import pytest
import yaml
from support.tiny_task_configs import TASKS
from support.tiny_tasks import training_arguments
from support.tiny_tasks import write_data as write_task_data
from support.tiny_training import TOKENS
from support.tiny_training import write_data as write_tiny_data

from espnet_adaptive_dropout.compress.length import (
    EPOCHS,
    Length,
    batch_options,
    usual_passes,
)
from espnet_adaptive_dropout.compress.shapes import shape_files, sizes
from espnet_adaptive_dropout.compress.short_training import (
    can_be_taught,
    derived_config,
    has_attention_decoder,
    peak_rate,
    with_data,
)
from espnet_adaptive_dropout.compress.train_command import epoch_summary
from espnet_adaptive_dropout.compress.written import Written
from espnet_adaptive_dropout.experiments.encoder_entry import (
    EXPORTED,
    EXPORTED_DECODER,
)
from espnet_adaptive_dropout.experiments.experiment import load_config, load_task


@pytest.mark.parametrize(
    ("batches", "accum_grad", "passes"),
    [(5000, 1, 1.5), (527, 1, 1.9), (100, 2, 20), (4, 1, 50)],
)
def test_passes_follow_from_the_data(batches, accum_grad, passes):
    assert usual_passes(batches, accum_grad) == passes
    length = Length(batches, passes, accum_grad)
    assert length.steps == EPOCHS * length.per_epoch >= batches * passes
    assert (length.warning() is None) == (length.updates >= 100)


def test_a_training_that_is_too_short_is_warned_of():
    assert "the training has 90 updates, and" in Length(4, 22).warning()
    assert Length(4, 25).warning() is None


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (dict(scheduler="warmuplr", optim_conf={"lr": 0.002}), 0.002),
        (
            dict(
                scheduler="noamlr",
                optim_conf={"lr": 10.0},
                scheduler_conf=dict(model_size=256, warmup_steps=10000),
            ),
            10.0 / (16.0 * 100.0),
        ),
        (
            dict(
                scheduler="PiecewiseLinearWarmupLR",
                scheduler_conf={"warmup_lr_list": [0.0, 5e-5, 2e-4]},
            ),
            2e-4,
        ),
        (dict(scheduler="onecyclelr", scheduler_conf={"max_lr": 0.01}), 0.01),
        ({}, 1e-3),
    ],
)
def test_the_peak_of_the_models_own_training(config, expected):
    assert peak_rate(config) == pytest.approx(expected)


def test_batches_are_as_before_or_smaller():
    many, few = [16000] * 100000, [16000] * 200
    numel = dict(batch_type="numel", batch_bins=4000000)
    assert batch_options(numel, many) == numel
    assert batch_options(numel, few)["batch_bins"] == 8 * 16000
    longest = batch_options(numel, [16000] * 200 + [900000])
    assert longest["batch_bins"] == 990000
    folded = dict(batch_type="folded", batch_size=64)
    assert batch_options(folded, many) == dict(batch_type="sorted", batch_size=64)
    assert batch_options(folded, few) == dict(batch_type="sorted", batch_size=8)
    assert batch_options(dict(batch_type="old_name"), few)["batch_type"] == "sorted"


def model_config(experiment):
    """Config of the experiment, with options that must not reach the training."""
    config = load_config(experiment / "config.yaml")
    config.update(wandb_project="mine", max_epoch=99, ngpu=4, resume=False)
    return config


def small_config(config, **changes):
    """Config of the model after the cut."""
    block = dict(ffn=3, query=[2, 1], value=[1, 2], conv_input="0-3")
    conf = {**config["encoder_conf"], "widths": [block]}
    return {**config, "encoder": EXPORTED, "encoder_conf": conf, **changes}


def derived(experiment, config, **changes):
    """The training config, and the files of the small and the original model."""
    files = experiment / "small.pth", experiment / "valid.acc.ave.pth"
    small = small_config(config, **changes)
    return derived_config(config, load_task("asr"), small, *files), *files


def test_the_derived_config(experiment):
    task = load_task("asr")
    new, small, original = derived(experiment, model_config(experiment))
    assert new["encoder"] == EXPORTED and new["encoder_conf"]["widths"]
    assert new["encoder_conf"]["teacher"] == str(original)
    assert new["encoder_conf"]["distillation"] == 0.5
    assert new["init_param"] == [str(small)]
    assert new["best_model_criterion"] == [["valid", "loss", "min"]]
    assert new["optim"] == "adam" and new["optim_conf"] == {"lr": 2.5e-4}
    for name in ("wandb_project", "ngpu", "version", "output_dir", "scheduler_conf"):
        assert name not in new
    # ESPnet's parser takes it.
    path = experiment / "new.yaml"
    path.write_text(yaml.safe_dump(new))
    args = task.get_parser().parse_args(["--config", str(path)])
    assert args.max_epoch == EPOCHS and args.patience is None


def test_rates_selection_and_teacher_follow_from_the_model(experiment):
    config = model_config(experiment)
    config.update(
        optim="adamw", optim_conf=dict(lr=0.004, weight_decay=0.1), scheduler="warmuplr"
    )
    config.update(
        decoder="transformer", decoder_conf={}, model_conf={"ctc_weight": 0.3}
    )
    new, *_ = derived(experiment, config)
    assert new["optim_conf"] == dict(lr=0.001, weight_decay=0.1)
    assert new["best_model_criterion"] == [["valid", "acc", "max"]]
    for changes, taught in (
        ({}, True),
        ({"postencoder": "x"}, False),
        ({"decoder": "transducer", "model_conf": {"ctc_weight": 0.0}}, False),
        ({"decoder": "transducer", "model_conf": {"ctc_weight": 0.3}}, True),
        ({"model_conf": {"ctc_weight": 0.0}}, True),
    ):
        changed = {**config, **changes}
        assert can_be_taught(changed) == taught
        new, *_ = derived(experiment, changed)
        assert ("teacher" in new["encoder_conf"]) == taught


@pytest.mark.parametrize(
    ("decoder", "model_conf", "taught", "attends"),
    [
        ("transformer", {"asr_weight": 0.0}, True, True),
        ("transformer", {"asr_weight": 0.0, "st_mtlalpha": 0.3}, True, True),
        ("transformer", {"asr_weight": 0.0, "st_mtlalpha": 1.0}, False, False),
        (
            "transformer",
            {"asr_weight": 0.3, "mtlalpha": 1.0, "st_mtlalpha": 1.0},
            True,
            False,
        ),
        ("transducer", {"asr_weight": 0.0}, False, False),
        ("transducer", {"asr_weight": 0.3, "mtlalpha": 1.0}, True, False),
    ],
)
def test_posteriors_of_speech_translation(decoder, model_conf, taught, attends):
    config = dict(
        encoder="conformer",
        decoder=decoder,
        model_conf=model_conf,
        src_token_list=["<blank>", "a"],
    )
    assert can_be_taught(config) == taught
    assert has_attention_decoder(config) == attends


def test_a_decoder_that_was_cut_is_trained_as_it_is(experiment):
    config = model_config(experiment)
    config.update(decoder="transformer", decoder_conf={}, model_conf={})
    changes = dict(decoder=EXPORTED_DECODER, decoder_conf={"widths": []})
    new, *_ = derived(experiment, config, **changes)
    assert {name: new[name] for name in changes} == changes
    assert "teacher" in new["encoder_conf"]
    changes.update(encoder="conformer", encoder_conf=config["encoder_conf"])
    new, *_ = derived(experiment, config, **changes)
    assert {name: new[name] for name in changes} == changes


def test_shapes_are_those_of_espnets_own_stage(data):
    """Against the shapes that the tiny training brings along."""
    config = vars(load_task("asr").get_parser().parse_args([]))
    config.update(token_list=TOKENS, token_type="char")
    written = Written(data, "sound", ["text"], 9)
    before = {n: (data / n).read_text() for n in ("speech_shape", "text_shape")}
    for name in before:
        (data / name).unlink()
    paths = shape_files(load_task("asr"), config, written)
    assert paths == [str(data / "speech_shape"), str(data / "text_shape")]
    assert {n: (data / n).read_text() for n in before} == before
    assert sizes(paths[1])[0] == 3 * 6


def test_shapes_of_padded_audio_and_several_texts(tmp_path):
    tiny = TASKS["s2t"]
    data = write_task_data(tmp_path / "data")
    for old, new in (
        ("text", "text.ctc"),
        ("s2t_text", "text"),
        ("src_text", "text.prev"),
    ):
        shutil.move(data / old, data / new)
    arguments = training_arguments(tiny, data, tmp_path / "exp")
    task = load_task("s2t")
    config = vars(task.get_parser().parse_args(arguments))
    written = Written(data, "sound", ["text", "text_prev", "text_ctc"], 4)
    paths = shape_files(task, config, written)
    assert [path.rsplit("/")[-1] for path in paths] == [
        *("speech_shape", "text_shape", "text_prev_shape", "text_ctc_shape")
    ]
    assert set(sizes(paths[0])) == {12800}  # all are padded to 0.8 s


def test_the_schedule_ends_with_the_training(experiment, tmp_path):
    data = write_tiny_data(tmp_path / "data")
    config = load_config(experiment / "config.yaml")
    config.update(token_type="char", bpemodel=None, normalize="utterance_mvn")
    config.update(token_list=TOKENS, normalize_conf={})
    written = Written(data, "sound", ["text"], 9)
    new, length = with_data(
        derived(experiment, config)[0],
        load_task("asr"),
        config,
        dict(train=written, valid=written),
        epochs=40,
    )
    assert (length.batches, length.steps) == (1, 40)  # ESPnet spreads the ninth
    assert new["num_iters_per_epoch"] * new["max_epoch"] == length.steps
    assert new["scheduler_conf"]["total_steps"] > length.updates


def test_the_line_about_an_epoch():
    results = (
        "[train] iter_time=0.1, loss_ctc=3.2, loss=2.5, acc=nan, actual_reduction="
        "0.251, time=3.5 seconds, total_count=5, [valid] loss=1.5, acc=0.9, time=1 "
    )
    assert epoch_summary("3", results) == (
        f"  epoch 3 of {EPOCHS}: training loss 2.5, validation loss 1.5, validation "
        "acc 0.9, 3.5 seconds"
    )
