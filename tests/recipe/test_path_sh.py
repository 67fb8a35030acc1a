"""path.sh: which environment, which checkout, which modules."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from support.paths import ROOT

SHOW = """set -euo pipefail
. ./path.sh
echo "$(command -v python3)|${PYTHONPATH:-}|${ESPNET_ROOT}|${ADDED:-}"
echo "${PATH}"
"""


@pytest.fixture
def checkout(tmp_path):
    """What looks like an ESPnet checkout, with an environment of its own."""
    root = tmp_path / "espnet"
    for name in ("egs2/TEMPLATE/asr1", "tools", "espnet"):
        (root / name).mkdir(parents=True)
    (root / "egs2/TEMPLATE/asr1/asr.sh").write_text("")
    (root / "espnet/version.txt").write_text(version("espnet"))
    (root / "tools/activate_python.sh").write_text(
        f'. {sys.prefix}/bin/activate\nADDED="${{UNSET}}activated"\n'
    )
    (root / "tools/extra_path.sh").write_text("export PATH=/its/tools:$PATH\n")
    return root


@pytest.fixture
def source(run_in):
    """Function that sources path.sh; returns what it set."""

    def run(**env):
        done = run_in("bash", "-c", SHOW, **env)
        assert done.returncode == 0, done.stderr
        first, path = done.stdout.splitlines()
        return [*first.split("|"), path.split(":")]

    return run


def test_without_a_checkout(source, recipe):
    python, modules, checkout, _, path = source(PYTHONPATH="")
    assert python == f"{sys.prefix}/bin/python3"
    assert modules.split(":")[0] == str(ROOT)
    assert checkout == "none"
    assert path[-1].endswith("asr1/local/bin")
    (recipe / "path.sh").unlink()  # its link; the copy is alone, without repository
    (recipe / "path.sh").write_bytes(
        (ROOT / "egs2/librispeech_adaprune/asr1/path.sh").read_bytes()
    )
    assert source(PYTHONPATH=str(ROOT))[1] == str(ROOT)


def test_environment_of_the_checkout(source, checkout):
    env = {"ADAPRUNE_VENV": "", "ESPNET_ROOT": str(checkout), "PYTHONPATH": ""}
    python, modules, root, added, path = source(**env)
    assert python == f"{sys.prefix}/bin/python3"
    assert (root, added) == (str(checkout), "activated")
    assert str(checkout) not in modules.split(":")
    assert "/its/tools" in path
    # Its modules go first only if they are of another version than the installed.
    (checkout / "espnet/version.txt").write_text("190001")
    assert str(checkout) in source(**env)[1].split(":")


def test_user_s_path_sh_has_the_last_word(source, recipe):
    (recipe / "local").unlink()
    (recipe / "local").mkdir()
    for path in (ROOT / "egs2/librispeech_adaprune/asr1/local").iterdir():
        (recipe / "local" / path.name).symlink_to(path)
    (recipe / "local/path.sh").write_text("ADDED=${OMP_NUM_THREADS}\n")
    assert source()[3] == "1"


@pytest.mark.parametrize(
    "env, said",
    [
        ({"ESPNET_ROOT": "/no/where"}, "it must be a checkout of ESPnet"),
        ({"ADAPRUNE_VENV": "/no/where"}, "no Python environment at /no/where"),
    ],
)
def test_errors_are_one_line(run_in, env, said):
    done = run_in("bash", "-c", SHOW, **env)
    assert done.returncode == 1
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_nothing_is_done_twice(run_in):
    twice = run_in("bash", "-c", ". ./path.sh; bash -c '" + SHOW + "'")
    assert twice.returncode == 0, twice.stderr
    path = twice.stdout.splitlines()[1].split(os.pathsep)
    assert len([place for place in path if place.endswith("asr1/local/bin")]) == 1
    assert Path(path[0]) == Path(sys.prefix) / "bin"
