"""path.sh: which environment, which ESPnet scripts, which modules."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from espnet_scripts import TEMPLATE
from support.paths import RECIPE, ROOT

SHOW = """set -euo pipefail
. ./path.sh
echo "$(command -v python3)|${PYTHONPATH:-}|${ESPNET_ROOT}|${ADDED:-}"
echo "${PATH}"
"""


@pytest.fixture
def checkout(tmp_path):
    """What looks like an ESPnet checkout, with an environment of its own."""
    root = tmp_path / "espnet"
    for name in (TEMPLATE, "tools"):
        (root / name).mkdir(parents=True)
    (root / TEMPLATE / "asr.sh").write_text("")
    (root / "version.txt").write_text(version("espnet"))
    (root / "tools/activate_python.sh").write_text(
        f'. {sys.prefix}/bin/activate\nADDED="${{UNSET}}activated"\n'
    )
    (root / "tools/extra_path.sh").write_text("export PATH=/its/tools:$PATH\n")
    return root


@pytest.fixture
def source(run_in, checkout):
    """Function that sources path.sh with the checkout; returns what it set."""

    def run(script=SHOW, **env):
        given = {"ESPNET_ROOT": str(checkout), "PYTHONPATH": ""}
        done = run_in("bash", "-c", script, **{**given, **env})
        assert done.returncode == 0, done.stderr
        first, path = done.stdout.splitlines()
        return [*first.split("|"), path.split(":")]

    return run


def test_environment_of_the_checkout(source, recipe, checkout):
    python, modules, root, added, path = source(ADAPRUNE_VENV="")
    assert python == f"{sys.prefix}/bin/python3"
    assert (root, added) == (str(checkout), "activated")
    assert modules == str(ROOT)
    assert path[0] == f"{recipe}/utils" and path[1] == "/its/tools"
    assert Path(path[-1]) == RECIPE / "local/bin"
    # Its modules go first only if they are of another version than the installed.
    (checkout / "version.txt").write_text("190001")
    assert source()[1] == f"{ROOT}:{checkout}"


def test_nothing_is_done_twice(source):
    path = source(f". ./path.sh; bash -c '{SHOW}'")[4]
    assert path.count("/its/tools") == 1


def test_recipe_copied_out_of_its_repository(source, recipe):
    (recipe / "path.sh").unlink()
    (recipe / "path.sh").write_bytes((RECIPE / "path.sh").read_bytes())
    assert source(PYTHONPATH=str(ROOT))[1] == str(ROOT)


def test_user_s_path_sh_has_the_last_word(source, recipe):
    (recipe / "local").unlink()
    (recipe / "local").mkdir()
    for path in (RECIPE / "local").iterdir():
        (recipe / "local" / path.name).symlink_to(path)
    (recipe / "local/path.sh").unlink()
    (recipe / "local/path.sh").write_text("ADDED=${PYTHONUTF8}\n")
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


def test_missing_programs_are_named(run_in, tmp_path, checkout):
    (tmp_path / "venv/bin").mkdir(parents=True)
    (tmp_path / "venv/bin/activate").write_text(f"PATH={tmp_path}/venv/bin\n")
    for name in ("dirname", "readlink"):
        (tmp_path / "venv/bin" / name).symlink_to(f"/usr/bin/{name}")
    env = {"ADAPRUNE_VENV": str(tmp_path / "venv"), "ESPNET_ROOT": str(checkout)}
    for name in ("python3", "perl", "awk"):
        done = run_in("bash", "-c", SHOW, **env)
        assert done.stderr == f"path.sh: {name} is missing: install it\n"
        (tmp_path / "venv/bin" / name).symlink_to("/bin/true")
    assert os.path.lexists(tmp_path / "venv/bin/awk")
