import sys
import types

import pytest
from support.tiny_training import batch, build_model, command, encoder_conf

from espnet_adaptive_dropout.plugin.task_hooks import RefusedConfig, hook_tasks


def task_module(**attributes):
    """A module that defines one task, and imports another."""
    module = types.ModuleType("some_task")
    calls = []

    class Task:
        @classmethod
        def build_model(cls, args):
            calls.append(args)
            return "model"

    Task.__module__ = module.__name__

    class Imported(Task):
        __module__ = "elsewhere"

        @classmethod
        def build_model(cls, args):
            return "another"

    module.Task, module.Imported, module.calls = Task, Imported, calls
    return module


def test_only_the_module_s_own_tasks_and_only_once():
    module = task_module()
    theirs = module.Imported.build_model
    hook_tasks(module)
    first = module.Task.build_model.__func__
    assert first.__wrapped__ is not None
    hook_tasks(module)
    assert module.Task.build_model.__func__ is first
    assert module.Imported.build_model == theirs


def test_any_model_of_a_registry_gets_the_penalty(data):
    conf = encoder_conf(target_reduction=0.2, total_steps=10)
    model = build_model(data, model="espnet", encoder_conf=conf)
    assert type(model).__name__ == "AdaptiveDropoutESPnetASRModel"
    _, stats, _ = model.train()(**batch())
    assert "retention_penalty" in stats


def test_stock_and_compact_models_stay_what_they_are(data):
    conf = encoder_conf()
    del conf["adaptive_dropout_conf"]
    model = build_model(data, model="espnet", encoder="conformer", encoder_conf=conf)
    assert type(model).__name__ == "ESPnetASRModel"


def test_a_training_finds_its_length_without_the_runner(data, tmp_path, monkeypatch):
    from espnet2.bin import asr_train
    from espnet2.tasks.asr import ASRTask

    seen = []
    monkeypatch.setattr(ASRTask, "main_worker", seen.append)
    arguments = command(data, tmp_path / "exp")
    asr_train.main(arguments)
    monkeypatch.setattr(sys, "argv", ["asr_train.py", *arguments])
    asr_train.main()
    for args in seen:
        options = args.encoder_conf["adaptive_dropout_conf"]
        assert options["total_steps"] == 2 * 4
    assert len(seen) == 2


def test_a_refused_training_is_one_line(data, tmp_path):
    from espnet2.bin import asr_train

    criterion = [["valid", "loss", "min"]]
    arguments = command(data, tmp_path / "exp", best_model_criterion=criterion)
    with pytest.raises(SystemExit) as refusal:
        asr_train.main(arguments)
    message = str(refusal.value)
    assert message.startswith("espnet_adaptive_dropout: best_model_criterion loss")
    assert "\n" not in message


def test_errors_that_are_not_ours_keep_their_traceback():
    module = task_module()

    def build(cls, args):
        raise ValueError("theirs")

    module.Task.build_model = classmethod(build)
    hook_tasks(module)
    with pytest.raises(ValueError, match="theirs") as caught:
        module.Task.build_model(None)
    assert not isinstance(caught.value, RefusedConfig)
