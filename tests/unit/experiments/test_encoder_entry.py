import torch

from espnet_adaptive_dropout.experiments.encoder_entry import (
    MODEL,
    encoder_entry,
    main_encoder,
    recogniser,
)


def test_most_tasks():
    entry = encoder_entry({"encoder": "conformer", "encoder_conf": {"a": 1}})
    assert (entry.option, entry.conf, entry.prefix) == (
        "encoder",
        "encoder_conf",
        "encoder.",
    )


def test_behind_an_enhancement():
    for series, option in (
        (["enh", "asr"], "asr_encoder"),
        (("enh", "st"), "st_encoder"),
        (["enh", "diar"], "diar_encoder"),
    ):
        entry = encoder_entry({"subtask_series": series})
        assert entry.option == option
        assert entry.prefix == "s2t_model.encoder."
    assert encoder_entry({"subtask_series": ["enh"]}).option == "encoder"


def test_options_and_replacing_leave_the_config_alone():
    config = {"asr_encoder": "a", "asr_encoder_conf": None, "subtask_series": ["asr"]}
    entry = encoder_entry(config)
    assert entry.options(config) == {}
    inner = {"widths": [1]}
    new = entry.replaced(config, "b", inner)
    new["asr_encoder_conf"]["widths"].append(2)
    assert new["asr_encoder"] == "b" and inner == {"widths": [1]}
    assert config["asr_encoder"] == "a"


def test_the_model_with_the_penalty_gives_way_to_that_of_the_task():
    gated = {"adaptive_dropout_conf": {}, "output_size": 8}
    config = {"encoder": "a", "encoder_conf": gated, "model": MODEL}
    entry = encoder_entry(config)
    assert entry.stock_options(config) == {"output_size": 8}
    task = type("Task", (), {})  # its module has no registry of models
    assert entry.replaced(config, "b", {}, task)["model"] == "espnet"
    assert entry.replaced(config, "b", {})["model"] == MODEL
    other = {**config, "model": "mine"}
    assert entry.replaced(other, "b", {}, task)["model"] == "mine"


def test_encoder_of_a_model():
    model = torch.nn.Module()
    model.encoder = torch.nn.Linear(1, 1)
    assert recogniser(model) is model
    assert main_encoder(model) is model.encoder
    outer = torch.nn.Module()
    outer.s2t_model = model
    assert main_encoder(outer) is model.encoder
