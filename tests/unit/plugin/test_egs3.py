"""ESPnet3: the callback and the tokenizer of the example recipe."""

import sys

import pytest
from support.paths import ROOT
from support.tiny_training import LATE_FREEZE

RECIPE = ROOT / "egs3" / "librispeech_adaprune" / "esp2_asr"

lightning = pytest.importorskip("lightning", reason="ESPnet3 trains with Lightning")
pytest.importorskip("espnet3", reason="this ESPnet has no ESPnet3")


class FakeTrainer:
    estimated_stepping_batches = 30
    accumulate_grad_batches = 4
    max_epochs = 10
    is_global_zero = True

    def __init__(self, *callbacks):
        self.callbacks = list(callbacks)


def module_of(**adaptive_dropout_conf):
    """What Lightning hands to a callback, as far as ours looks at it."""
    import types

    from support.encoders import adaptive, options_of

    encoder = adaptive(options_of("latest"), **adaptive_dropout_conf)
    model = types.SimpleNamespace(encoder=encoder)
    return types.SimpleNamespace(model=model, config={})


def test_training_length():
    from espnet_adaptive_dropout.plugin.egs3 import TrainingLength

    module = module_of(total_steps=None)
    encoder = module.model.encoder
    TrainingLength().setup(FakeTrainer(), module, "validate")
    assert encoder.adaptive_dropout_conf.total_steps is None
    TrainingLength().setup(FakeTrainer(), module, "fit")
    assert encoder.control.config.total_steps == 30 * 4
    assert encoder.control.config.accum_grad == 4


def test_what_the_config_sets_stays():
    from espnet_adaptive_dropout.plugin.egs3 import TrainingLength

    module = module_of(total_steps=7, accum_grad=3)
    TrainingLength().setup(FakeTrainer(), module, "fit")
    config = module.model.encoder.control.config
    assert (config.total_steps, config.accum_grad) == (7, 3)


def test_a_training_without_end_is_refused():
    from espnet_adaptive_dropout.plugin.egs3 import TrainingLength

    class Endless(FakeTrainer):
        estimated_stepping_batches = float("inf")

    with pytest.raises(ValueError, match="max_epochs"):
        TrainingLength().setup(Endless(), module_of(total_steps=None), "fit")


def checkpoint_callback(monitor="valid/final_loss", number=3):
    from lightning.pytorch.callbacks import ModelCheckpoint

    return ModelCheckpoint(monitor=monitor, save_top_k=number)


def test_only_epochs_of_the_final_size_are_kept(caplog):
    from espnet_adaptive_dropout.plugin.egs3 import TrainingLength

    best, last = checkpoint_callback(), checkpoint_callback(None, 1)
    module = module_of(**LATE_FREEZE, total_steps=None, control="feedback")
    TrainingLength().setup(FakeTrainer(best, last), module, "fit")
    assert (best.save_top_k, last.save_top_k) == (2, 1)
    assert "keep_nbest_models=3: only 2 of 10 epochs" in caplog.text
    early = FakeTrainer(checkpoint_callback("valid/loss"))
    with pytest.raises(ValueError, match="best_model_criterion loss may select"):
        TrainingLength().setup(early, module, "fit")


def test_a_continued_training_keeps_its_size():
    from espnet_adaptive_dropout.plugin.egs3 import TrainingLength

    begun, same, other = TrainingLength(), TrainingLength(), TrainingLength()
    for callback, target in ((begun, 0.2), (same, 0.2), (other, 0.3)):
        module = module_of(total_steps=None, target_reduction=target)
        callback.setup(FakeTrainer(), module, "fit")
    same.load_state_dict(begun.state_dict())
    with pytest.raises(ValueError, match="target_reduction: 0.3, but .*: 0.2, which"):
        other.load_state_dict(begun.state_dict())


def test_a_size_option_that_an_earlier_release_did_not_have():
    from espnet_adaptive_dropout.plugin.egs3 import TrainingLength

    begun, other = TrainingLength(), TrainingLength()
    for callback, multiple_of in ((begun, 1), (other, 8)):
        module = module_of(total_steps=None, multiple_of=multiple_of)
        callback.setup(FakeTrainer(), module, "fit")
    state = begun.state_dict()
    del state["multiple_of"]
    begun.load_state_dict(state)
    with pytest.raises(ValueError, match="multiple_of: 8, but .*: 1, which"):
        other.load_state_dict(state)


def test_the_average_has_the_last_epoch(tmp_path):
    import torch
    from espnet3.components.callbacks.default_callbacks import (
        AverageCheckpointsCallback,
    )

    from espnet_adaptive_dropout.plugin.egs3 import TrainingLength

    best = checkpoint_callback(number=1)
    average = AverageCheckpointsCallback(tmp_path, [best])
    trainer, module = FakeTrainer(average, best), module_of(total_steps=None)
    module.state_dict = lambda: {"weight": torch.zeros(1)}
    length = TrainingLength()
    trainer.callbacks.append(length)
    length.setup(trainer, module, "fit")
    for epoch in (9, 10):
        # Lightning calls the callbacks that save checkpoints last.
        average.on_validation_end(trainer, module)
        path = str(tmp_path / f"epoch{epoch}.ckpt")
        torch.save({"state_dict": {"model.weight": torch.tensor([float(epoch)])}}, path)
        best.best_k_models = {path: torch.tensor(1.0)}
    length.on_fit_end(trainer, module)
    averaged = torch.load(tmp_path / "valid.final_loss.ave_1best.pth")
    assert averaged["weight"] == 10.0


def test_a_vocabulary_that_the_text_cannot_fill(tmp_path, monkeypatch):
    from omegaconf import OmegaConf

    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(RECIPE))
    for name in [name for name in sys.modules if name.split(".")[0] == "src"]:
        monkeypatch.delitem(sys.modules, name)
    from src.system import RecipeSystem

    (tmp_path / "text").write_text("utt1 AB BA\nutt2 ABBA B\n")
    config = OmegaConf.create(
        {
            "tokenizer": {
                "vocab_size": 180,
                "character_coverage": 1.0,
                "model_type": "bpe",
                "save_path": str(tmp_path / "data"),
                "text_builder": {
                    "func": "src.tokenizer.gather_training_text",
                    "text": str(tmp_path / "text"),
                },
            },
        }
    )
    system = RecipeSystem.__new__(RecipeSystem)
    system.training_config = config
    for _ in range(2):  # the second try gives the same answer
        with pytest.raises(SystemExit) as refusal:
            system.train_tokenizer()
        message = str(refusal.value)
        assert "tokenizer.vocab_size: 180" in message and "\n" not in message
        most = int(message.split()[-3])
    config.tokenizer.vocab_size = most
    system.train_tokenizer()
    tokens = (tmp_path / "data" / "tokens.txt").read_text().split()
    assert len(tokens) == most
    for name in [name for name in sys.modules if name.split(".")[0] == "src"]:
        monkeypatch.delitem(sys.modules, name)
