"""ESPnet3: the example recipe, with its own commands, at the smallest size."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import yaml
from support.paths import ROOT
from support.tiny_tasks import write_data

RECIPE = ROOT / "egs3" / "librispeech_adaprune" / "esp2_asr"

lightning = pytest.importorskip("lightning", reason="ESPnet3 trains with Lightning")
pytest.importorskip("espnet3", reason="this ESPnet has no ESPnet3")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    root = tmp_path_factory.mktemp("egs3")
    data = write_data(root / "data")
    recipe = root / "esp2_asr"
    shutil.copytree(RECIPE, recipe, ignore=shutil.ignore_patterns("exp", "data"))

    def change(name, edit):
        path = recipe / "conf" / name
        config = yaml.safe_load(path.read_text())
        edit(config)
        path.write_text(yaml.safe_dump(config))

    def make_small(config):
        for part in ("train", "valid"):
            config["dataset"][part][0]["data_src_args"]["directory"] = str(data)
        del config["dataset"]["preprocessor"]["bpemodel"]
        config["dataset"]["preprocessor"]["token_type"] = "char"
        config["tokenizer"].update(vocab_size=7, model_type="char")
        config["tokenizer"]["text_builder"]["text"] = str(data / "text")
        config["model"]["encoder_conf"].update(
            output_size=8,
            attention_heads=2,
            linear_units=16,
            num_blocks=1,
            cnn_module_kernel=3,
            adaptive_dropout_conf=dict(
                target_reduction=0.2, ramp_end=0.4, freeze_at=0.5
            ),
        )
        config["dataloader"]["train"]["iter_factory"]["batches"]["batch_size"] = 2
        config["trainer"].update(max_epochs=3, accelerator="cpu")

    def use_data(config):
        config["dataset"]["test"][0]["data_src_args"]["directory"] = str(data)

    change("training.yaml", make_small)
    change("inference.yaml", use_data)
    change("inference_compact.yaml", use_data)
    return recipe


def run(recipe, *arguments):
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    process = subprocess.run(
        [sys.executable, *arguments],
        cwd=recipe,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr[-3000:]
    return process


def decode(recipe, inference):
    run(
        *(recipe, "run.py", "--stages", "infer", "measure"),
        *("--training_config", "conf/training.yaml"),
        *("--inference_config", f"conf/{inference}.yaml"),
        *("--metrics_config", "conf/metrics.yaml"),
    )
    results = json.loads(
        (recipe / f"exp/training/{inference}/metrics.json").read_text()
    )
    (wer,) = [v for k, v in results.items() if k.endswith("WER")]
    assert wer["test_clean"]["WER"] >= 0
    hypotheses = recipe / f"exp/training/{inference}/test_clean/text.scp"
    assert len(hypotheses.read_text().splitlines()) == 4


@pytest.mark.slow
def test_train_prune_decode(recipe):
    stages = ["train_tokenizer", "collect_stats", "train"]
    run(
        recipe, "run.py", "--stages", *stages, "--training_config", "conf/training.yaml"
    )
    model = recipe / "exp/training/valid.final_loss.ave_1best.pth"
    assert model.exists()
    # Six steps of two batches an epoch, frozen after three.
    from espnet_adaptive_dropout.experiments.experiment import load_state

    state = load_state(model)
    assert state["encoder.control.frozen"] == 1
    assert state["encoder.control.step"] in (4, 6)
    run(
        *(recipe, "-m", "espnet_adaptive_dropout.bin.prune"),
        *("--train_config", "exp/training/config.yaml", "--model_file", str(model)),
        *("--data", f"{recipe.parent}/data/wav.scp,speech,sound"),
        *("--output_dir", "exp/training_compact"),
    )
    report = json.loads((recipe / "exp/training_compact/report.json").read_text())
    assert report["reduction"] == pytest.approx(0.2, abs=0.02)
    decode(recipe, "inference_compact")
    assert_packs(recipe)


OPEN = """
import sys
import numpy
from espnet3.publication import InferenceModel

model = InferenceModel.from_packed(sys.argv[1], trust_user_code=True)
print("RESULT", model(numpy.random.default_rng(0).normal(0, 0.1, 16000))["text"])
"""


def assert_packs(recipe):
    """The packed model decodes, elsewhere and alone."""
    run(
        *(recipe, "run.py", "--stages", "pack_model"),
        *("--training_config", "conf/training.yaml"),
        *("--inference_config", "conf/inference_compact.yaml"),
        *("--metrics_config", "conf/metrics.yaml"),
        *("--publication_config", "conf/publication.yaml"),
    )
    packed = recipe.parent / "elsewhere" / "model_pack"
    shutil.copytree(recipe / "exp/training/model_pack", packed)
    names = [path.name for path in packed.rglob("*")]
    assert {"plan.yaml", "certificate.json", "report.md", "tokens.txt"} <= set(names)
    assert len([name for name in names if name.endswith((".pth", ".ckpt"))]) == 1
    readme = (packed / "README.md").read_text()
    assert "pip install espnet-adaptive-dropout" in readme
    shutil.move(recipe / "data", recipe / "moved")
    assert "RESULT" in run(packed.parent, "-c", OPEN, str(packed)).stdout


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
    module = module_of(total_steps=None, control="feedback")
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
