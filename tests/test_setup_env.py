"""The environment's set-up, with stand-ins for Python and pip."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import RECIPE

SCRIPT = RECIPE / "local" / "setup_env.sh"
PLACE = "egs2/librispeech_adaprune/asr1/local/setup_env.sh"
SHIM = "#!/bin/sh\necho 'python3.13: command not found' >&2\nexit 127\n"
# Tells its version, makes a "venv" that is a copy of itself, and notes pip's calls.
PYTHON = """#!/bin/bash
case "$1 $2" in
    "-c import sys,"*) echo 3.13 ;;
    "-c import espnet2") ;;
    "-m venv") mkdir -p "${@: -1}/bin"
        cp "$0" "${@: -1}/bin/python"; cp "$0" "${@: -1}/bin/pip" ;;
    "-m pip") shift 2; echo "$*" >> "$CALLS"
        if [ -e "$CALLS.fail" ]; then echo "ERROR: no route to PyPI"; exit 1; fi ;;
esac
"""


@pytest.fixture
def checkout(tmp_path):
    """A bare checkout, and a function that sets its environment up."""
    for real in ("/usr/local/bin/python3.13", "/usr/bin/python3.13"):
        if Path(real).exists():
            pytest.skip(f"{real} would be found instead of the stand-in")
    root = tmp_path / "repo"
    (root / PLACE).parent.mkdir(parents=True)
    shutil.copy(SCRIPT, root / PLACE)
    (root / "setup.py").write_text("# version 1\n")
    shims, pyenv = tmp_path / "shims", tmp_path / ".pyenv/versions/3.13.0/bin"
    for directory, name, text in (
        (shims, "python3.13", SHIM),
        (pyenv, "python", PYTHON),
    ):
        directory.mkdir(parents=True)
        (directory / name).write_text(text)
        (directory / name).chmod(0o755)
    env = {**os.environ, "HOME": str(tmp_path), "CALLS": str(tmp_path / "calls")}
    env["PATH"] = f"{shims}:/usr/bin:/bin"

    def run(*options):
        calls = tmp_path / "calls"
        calls.unlink(missing_ok=True)
        done = subprocess.run(
            ["bash", str(root / PLACE), *options],
            env=env,
            capture_output=True,
            text=True,
        )
        return done, calls.read_text().splitlines() if calls.exists() else []

    run.root, run.fail = root, tmp_path / "calls.fail"
    return run


def test_shim_without_its_python_is_passed_over(checkout):
    done, calls = checkout()
    assert done.returncode == 0, done.stderr
    assert ".pyenv/versions/3.13.0/bin/python" in done.stderr
    assert calls[-1].endswith(f"-e {checkout.root}[recipe]")
    assert (checkout.root / ".venv/.complete").exists()


def test_second_call_does_nothing(checkout):
    checkout()
    done, calls = checkout()
    assert (done.returncode, done.stderr, calls) == (0, "", [])


def test_tests_extra_is_added_and_stays(checkout):
    checkout()
    _, calls = checkout("--with-tests")
    assert calls[-1].endswith("[recipe,test]")
    assert checkout()[1] == []


def test_changed_setup_py_installs_again(checkout):
    checkout()
    (checkout.root / "setup.py").write_text("# version 2\n")
    assert checkout()[1] != []


def test_failed_installation_is_one_error_and_goes_on_next_time(checkout):
    checkout.fail.touch()
    done, _ = checkout()
    assert done.returncode == 1
    assert "ERROR: no route to PyPI; the whole log is" in done.stderr
    assert not (checkout.root / ".venv/.complete").exists()
    checkout.fail.unlink()
    assert checkout()[0].returncode == 0


def test_unknown_option(checkout):
    done, calls = checkout("--fast")
    assert (done.returncode, calls) == (1, [])
    assert "unknown option --fast" in done.stderr
