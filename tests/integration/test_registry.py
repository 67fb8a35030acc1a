import json
import os
import subprocess
import sys

import pytest

TASKS = "asr cls diar mt s2st s2t s2t_ctc slu ssl st enh_s2t".split()
WITHOUT_MODEL_REGISTRY = {"diar", "st", "enh_s2t", "s2st"}
OURS = {
    "adaptive_dropout_conformer",
    "compact_conformer",
    "espnet_adaptive_dropout.compact_conformer",
}
OUR_DECODERS = {
    "adaptive_dropout_transformer",
    "compact_transformer",
    "espnet_adaptive_dropout.compact_transformer",
}
WITHOUT_TRANSFORMER = {"cls", "diar", "s2t_ctc", "ssl"}

IMPORT_TIME = """
import sys, time
start = time.perf_counter()
import espnet_adaptive_dropout
print(time.perf_counter() - start, "torch" in sys.modules, "espnet2" in sys.modules)
"""

# One process for all tasks: the first import of a task costs many seconds, the
# others little. diar comes before the plugin, the others after it.
REGISTRIES = """
import copy, importlib, importlib.util, json, sys

def names(module):
    from espnet2.asr.decoder.transformer_decoder import TransformerDecoder
    from espnet2.asr.encoder.conformer_encoder import ConformerEncoder
    from espnet2.train.class_choices import ClassChoices
    found = {}
    for name, value in vars(module).items():
        if isinstance(value, ClassChoices):
            stock = ""
            if value.classes.get("conformer") is ConformerEncoder:
                stock = "encoder"
            if value.classes.get("transformer") is TransformerDecoder:
                stock = "decoder"
            found[name] = (stock, list(value.classes))
    return found

def look(name):
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        return str(error)
    return names(module)

result = {}
early = importlib.import_module("espnet2.tasks.diar")
result["before the plugin"] = names(early)
from espnet_adaptive_dropout.plugin import registry
result["espnet2.tasks.diar"] = names(early)
for name in sys.argv[1:]:
    result[f"espnet2.tasks.{name}"] = look(f"espnet2.tasks.{name}")
if importlib.util.find_spec("espnet3") is not None:
    result["espnet3"] = look("espnet3.systems.esp2_asr.task")

finders = len(sys.meta_path)
registry.install()
registry.install()
result["finders"] = [finders, len(sys.meta_path)]
result["again"] = look("espnet2.tasks.asr")

# A task that was imported without the plugin, as in a notebook.
mine = [f for f in sys.meta_path if getattr(f, "act", None) is registry.register]
sys.meta_path[:] = [f for f in sys.meta_path if f not in mine]
del sys.modules["espnet2.tasks.asr"]
asr = importlib.import_module("espnet2.tasks.asr")
result["late, without"] = names(asr)
registry.install()
result["late, with"] = names(asr)
from espnet2.tasks.asr import ASRTask, encoder_choices
result["hooks"] = [
    f"asr.{name}" for name in ("build_model", "main", "get_parser")
    if vars(ASRTask).get(name) is not None
    and vars(ASRTask)[name].__func__.__code__.co_filename.endswith("task_hooks.py")
]
result["choices"] = [c is encoder_choices for c in ASRTask.class_choices_list]
print("RESULT", json.dumps(result))
"""


def run(script, *arguments):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


@pytest.fixture(scope="module")
def registries():
    lines = run(REGISTRIES, *TASKS).splitlines()
    (line,) = [line for line in lines if line.startswith("RESULT ")]
    return json.loads(line[len("RESULT ") :])


def registries_of(registries, module):
    """What was found in a module; skips where ESPnet cannot import it."""
    found = registries[module]
    if isinstance(found, str):
        pytest.skip(f"ESPnet cannot import {module} here: {found}")
    return found


def with_stock(registry_names, kind="encoder"):
    """The registries that offer ESPnet's Conformer, or its Transformer decoder."""
    found = registry_names.items()
    return {name: set(classes) for name, (stock, classes) in found if stock == kind}


def test_importing_the_plugin_is_quick_and_imports_no_torch():
    runs = [run(IMPORT_TIME).split() for _ in range(5)]
    assert min(float(seconds) for seconds, *_ in runs) < 0.2
    assert {(torch, espnet) for _, torch, espnet in runs} == {("False", "False")}


@pytest.mark.parametrize("task", TASKS)
def test_encoders_are_offered_where_the_stock_conformer_is(registries, task):
    found = registries_of(registries, f"espnet2.tasks.{task}")
    offering = with_stock(found)
    assert offering
    for name, classes in offering.items():
        assert OURS <= classes, name
    for name, (stock, classes) in found.items():
        assert stock == "encoder" or not OURS & set(classes), name


@pytest.mark.parametrize("task", TASKS)
def test_decoders_are_offered_where_the_stock_transformer_is(registries, task):
    found = registries_of(registries, f"espnet2.tasks.{task}")
    offering = with_stock(found, "decoder")
    assert bool(offering) == (task not in WITHOUT_TRANSFORMER)
    for name, classes in offering.items():
        assert OUR_DECODERS <= classes, name
    for name, (stock, classes) in found.items():
        assert stock == "decoder" or not OUR_DECODERS & set(classes), name


@pytest.mark.parametrize(
    "task, names",
    [
        ("s2t_ctc", {"encoder_choices", "promptencoder_choices"}),
        ("s2st", {"encoder_choices", "unit_encoder_choices"}),
        (
            "enh_s2t",
            {"asr_encoder_choices", "st_encoder_choices", "diar_encoder_choices"},
        ),
    ],
)
def test_tasks_with_several_registries(registries, task, names):
    found = registries_of(registries, f"espnet2.tasks.{task}")
    assert names <= set(with_stock(found))


def test_espnet3(registries):
    if "espnet3" not in registries:
        pytest.skip("this ESPnet has no espnet3")
    found = registries_of(registries, "espnet3")
    offering = with_stock(found)
    assert offering
    assert all(OURS <= classes for classes in offering.values())
    assert "adaptive_dropout" in found["model_choices"][1]


def test_tasks_imported_before_the_plugin(registries):
    before = with_stock(registries["before the plugin"])
    assert before and not any(OURS & classes for classes in before.values())
    after = with_stock(registries["espnet2.tasks.diar"])
    assert all(OURS <= classes for classes in after.values())
    assert not OURS & set(registries["late, without"]["encoder_choices"][1])
    assert set(registries["late, with"]["encoder_choices"][1]) >= OURS
    # The command line reads the registry that was changed, not a copy.
    assert any(registries["choices"])


def test_installing_again_changes_nothing(registries):
    once, thrice = registries["finders"]
    assert once == thrice
    assert registries["again"] == registries["espnet2.tasks.asr"]


@pytest.mark.parametrize("task", TASKS)
def test_models_with_the_penalty(registries, task):
    """Where a task has a registry of models, its default one is there twice."""
    found = registries_of(registries, f"espnet2.tasks.{task}")
    if "model_choices" in found:
        assert "adaptive_dropout" in found["model_choices"][1]
    assert ("model_choices" in found) == (task not in WITHOUT_MODEL_REGISTRY)


def test_models_of_a_task_imported_before_the_plugin(registries):
    assert "adaptive_dropout" in registries["late, with"]["model_choices"][1]


def test_hooks(registries):
    assert registries["hooks"] == ["asr.build_model", "asr.main"]


def test_the_model_that_takes_the_place_of_ours():
    from espnet2.tasks.diar import DiarizationTask
    from espnet2.tasks.s2t_ctc import S2TTask

    from espnet_adaptive_dropout.experiments.encoder_entry import stock_model_name

    assert stock_model_name(S2TTask) == "espnet_ctc"
    assert stock_model_name(DiarizationTask) == "espnet"
