"""ESPnet3: the example recipe, with its own commands, at the smallest size."""

import json
import shutil

import pytest
import yaml
from support.forking import Command
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
        # The inference is left to a worker of Dask, one new process is enough.
        config["parallel"] = None

    def use_data(config):
        config["dataset"]["test"][0]["data_src_args"]["directory"] = str(data)

    change("training.yaml", make_small)
    change("inference.yaml", use_data)
    change("inference_compact.yaml", use_data)
    return recipe


@pytest.fixture
def run(recipe, forking_python):
    """Function that runs Python in a directory; returns what it printed."""

    def call(*arguments, cwd=recipe):
        log = recipe.parent / "log"
        log.unlink(missing_ok=True)
        env = {"PYTHONPATH": str(ROOT)}  # for the processes that ESPnet3 starts
        (status,) = forking_python(Command(arguments, cwd, log, env))
        assert status == 0, log.read_text()[-3000:]
        return log.read_text()

    return call


def decode(run, recipe, inference):
    run(
        *("run.py", "--stages", "infer", "measure"),
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


def test_train_prune_decode(recipe, run):
    stages = ["train_tokenizer", "collect_stats", "train"]
    run("run.py", "--stages", *stages, "--training_config", "conf/training.yaml")
    model = recipe / "exp/training/valid.final_loss.ave_1best.pth"
    assert model.exists()
    # Six steps of two batches an epoch, frozen after three.
    from espnet_adaptive_dropout.experiments.experiment import load_state

    state = load_state(model)
    assert state["encoder.control.frozen"] == 1
    assert state["encoder.control.step"] in (4, 6)
    run(
        *("-m", "espnet_adaptive_dropout.bin.prune"),
        *("--train_config", "exp/training/config.yaml", "--model_file", str(model)),
        *("--data", f"{recipe.parent}/data/wav.scp,speech,sound"),
        *("--output_dir", "exp/training_compact"),
    )
    report = json.loads((recipe / "exp/training_compact/report.json").read_text())
    assert report["reduction"] == pytest.approx(0.2, abs=0.02)
    decode(run, recipe, "inference_compact")
    assert_packs(run, recipe)


OPEN = """
import sys
import numpy
from espnet3.publication import InferenceModel

model = InferenceModel.from_packed(sys.argv[1], trust_user_code=True)
print("RESULT", model(numpy.random.default_rng(0).normal(0, 0.1, 16000))["text"])
"""


def assert_packs(run, recipe):
    """The packed model decodes, elsewhere and alone."""
    run(
        *("run.py", "--stages", "pack_model"),
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
    assert "RESULT" in run("-c", OPEN, str(packed), cwd=packed.parent)
