"""Options, fixtures of the recipe's tests, and the order of the files."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import soundfile
from support.forking import ForkingPython
from support.paths import RECIPE, TESTS

_LINKED = ("run.sh", "path.sh", "cmd.sh", "local", "conf")

sys.path[:0] = [str(RECIPE / "local" / name) for name in ("data", "corpora", "")]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Option for the tests that draw random cases."""
    parser.addoption(
        "--fuzz-examples",
        type=int,
        help="new random cases of each test; by default a few, always the same",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Set up how random cases are drawn."""
    examples = config.getoption("--fuzz-examples")
    hypothesis.settings.register_profile(
        "here",
        max_examples=examples or 15,
        derandomize=not examples,
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        print_blob=bool(examples),
    )
    hypothesis.settings.load_profile("here")


# The longest files first, so that two workers end at about the same time.
LONGEST = (
    "recipe/test_recipe_smoke.py",
    "integration/test_egs3_recipe.py",
    "integration/test_tasks.py",
    "integration/test_compress_tasks.py",
    "integration/test_runner.py",
    "integration/test_compress.py",
    "integration/test_compress_command.py",
    "integration/test_registry.py",
    "integration/test_lightning.py",
    "integration/test_plain_commands.py",
    "integration/test_sharing.py",
    "integration/test_packaging.py",
    "recipe/test_recorded_speech.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the tests; those of a file stay together."""
    ranks = {str(TESTS / name): rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(str(item.path), len(ranks)))


@pytest.fixture(autouse=True)
def level_of_the_root_logger() -> None:
    """Every test starts with Python's own level; ESPnet's commands set another."""
    logging.getLogger().setLevel(logging.WARNING)


@pytest.fixture(scope="session")
def forking_python():
    """Runs commands in forks of a Python that has ESPnet imported."""
    python = ForkingPython()
    yield python
    python.stop()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data of ``support.tiny_training``, of its own for every file of tests."""
    from support.tiny_training import write_data

    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """An empty recipe directory whose scripts are links to the real ones."""
    directory = tmp_path / "asr1"
    directory.mkdir()
    for name in _LINKED:
        (directory / name).symlink_to(RECIPE / name)
    return directory


@pytest.fixture
def recipe_env(tmp_path: Path) -> dict:
    """Environment for recipe scripts: the Python that runs the tests, one thread.

    ESPNET_ROOT is an empty stand-in, so that nothing is downloaded.
    """
    asr_sh = tmp_path / "no_espnet/egs2/TEMPLATE/asr1/asr.sh"
    asr_sh.parent.mkdir(parents=True)
    asr_sh.touch()
    dropped = ("ADAPRUNE_READY", "LIBRISPEECH")
    env = {name: value for name, value in os.environ.items() if name not in dropped}
    env.update(ADAPRUNE_VENV=sys.prefix, ADAPRUNE_THREADS="1", OMP_NUM_THREADS="1")
    return {**env, "ESPNET_ROOT": str(tmp_path / "no_espnet")}


@pytest.fixture
def run_in(recipe: Path, recipe_env: dict):
    """Function that runs a command in the recipe directory and returns the result."""

    def run(*command: str, **env: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [str(word) for word in command],
            cwd=recipe,
            env={**recipe_env, **env},
            capture_output=True,
            text=True,
        )

    return run


@pytest.fixture
def write_sine(tmp_path: Path):
    """Function that writes a sine as an audio file and returns its path."""

    def write(
        name: str, rate: int = 16000, seconds: float = 0.5, channels: int = 1
    ) -> Path:
        time = np.arange(round(rate * seconds)) / rate
        wave = 0.5 * np.sin(2 * np.pi * 440 * time)
        path = tmp_path / name
        soundfile.write(path, np.stack([wave] * channels, axis=1), rate)
        return path

    return write


@pytest.fixture
def make_set(recipe: Path, write_sine):
    """Function that makes data/<name> with utterances of the given lengths (s)."""

    def make(name: str, seconds: dict, text: str = "ONE TWO") -> Path:
        directory = recipe / "data" / name
        directory.mkdir(parents=True)
        tables = {"wav.scp": [], "text": [], "utt2spk": [], "spk2utt": []}
        for utterance, length in sorted(seconds.items()):
            speaker = utterance.split("-")[0]
            path = write_sine(f"{name}-{utterance}.flac", seconds=length)
            tables["wav.scp"].append(f"{utterance} {path}")
            tables["text"].append(f"{utterance} {text}")
            tables["utt2spk"].append(f"{utterance} {speaker}")
            tables["spk2utt"].append(f"{speaker} {utterance}")
        for table, lines in tables.items():
            (directory / table).write_text("\n".join(lines) + "\n")
        return directory

    return make
