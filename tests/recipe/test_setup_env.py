"""The environment's set-up, with stand-ins for Python and pip."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from support.paths import RECIPE

SCRIPT = RECIPE / "local" / "setup_env.sh"
PLACE = "egs2/librispeech_adaprune/asr1/local/setup_env.sh"
SHIM = "#!/bin/sh\necho 'python3.13: command not found' >&2\nexit 127\n"
# Tells its version, makes a "venv" that is a copy of itself, and notes pip's calls.
PYTHON = """#!/bin/bash
case "$1 $2" in
    "-c import sys,"*) echo VERSION ;;
    "-c import espnet2") ;;
    "-m venv") mkdir -p "${@: -1}/bin"
        cp "$0" "${@: -1}/bin/python"; cp "$0" "${@: -1}/bin/pip" ;;
    "-m pip") shift 2; echo "$*" >> "$CALLS"
        if [ -e "$CALLS.fail" ]; then echo "ERROR: no route to PyPI"; exit 1; fi ;;
    *espnet_scripts.py*) echo "asr.sh is fetched" >> "$CALLS" ;;
esac
"""


@pytest.fixture
def checkout(tmp_path):
    """A bare checkout, and a function that sets its environment up."""
    for version in ("3.13", "3.9"):
        for real in Path("/usr/local/bin"), Path("/usr/bin"), Path("/opt/homebrew/bin"):
            if (real / f"python{version}").exists():
                pytest.skip(f"{real}/python{version} would be found in its place")
    root = tmp_path / "repo"
    (root / PLACE).parent.mkdir(parents=True)
    shutil.copy(SCRIPT, root / PLACE)
    (root / "setup.py").write_text("# version 1\n")
    shims, pyenv = tmp_path / "shims", tmp_path / ".pyenv/versions"
    for directory, name, text in (
        (shims, "python3.13", SHIM),
        (pyenv / "3.13.0/bin", "python", PYTHON.replace("VERSION", "3.13")),
        (pyenv / "3.9.18/bin", "python", PYTHON.replace("VERSION", "3.9")),
    ):
        directory.mkdir(parents=True)
        (directory / name).write_text(text)
        (directory / name).chmod(0o755)
    env = {**os.environ, "HOME": str(tmp_path), "CALLS": str(tmp_path / "calls")}
    env.pop("ESPNET_ROOT", None)
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

    run.root, run.fail, run.env = root, tmp_path / "calls.fail", env
    return run


def test_shim_without_its_python_is_passed_over(checkout):
    done, calls = checkout()
    assert done.returncode == 0, done.stderr
    assert ".pyenv/versions/3.13.0/bin/python" in done.stderr
    assert calls[-2].endswith(f"-e {checkout.root}[recipe]")
    assert calls[-1] == "asr.sh is fetched"
    assert (checkout.root / ".venv/.complete").exists()


def test_a_checkout_has_its_own_scripts(checkout, monkeypatch):
    monkeypatch.setitem(checkout.env, "ESPNET_ROOT", "/opt/espnet")
    assert "asr.sh is fetched" not in checkout()[1]


def test_second_call_does_nothing(checkout):
    checkout()
    done, calls = checkout()
    assert (done.returncode, done.stderr, calls) == (0, "", [])


def test_tests_extra_is_added_and_stays(checkout):
    checkout()
    _, calls = checkout("--with-tests")
    assert calls[-2].endswith("[recipe,test]")
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


def test_another_python_in_another_environment(checkout):
    checkout("--with-tests")
    done, calls = checkout("--python", "3.10 3.9", "--venv", ".venv-old")
    assert done.returncode == 0, done.stderr
    assert "versions/3.9.18/bin/python" in done.stderr
    assert "asr.sh is fetched" not in calls  # ESPnet 202511 has none on PyPI
    # From 26.3 on, pip refuses what ESPnet 202511 needs.
    assert "pip<26.3" in calls[0].split()
    assert (checkout.root / ".venv-old/.complete").read_text().endswith(" 3.9\n")
    assert checkout("--python", "3.10 3.9", "--venv", ".venv-old")[1] == []
    assert checkout("--with-tests")[1] == []


def test_an_environment_of_another_python_is_made_anew(checkout):
    checkout()
    assert checkout("--python", "3.13")[1] == []
    done, calls = checkout("--python", "3.9")
    assert "versions/3.9.18/bin/python" in done.stderr
    assert "pip<26.3" in calls[0].split()


def test_no_such_python_is_status_3(checkout):
    done, calls = checkout("--python", "3.12", "--venv", ".venv-old")
    assert (done.returncode, calls) == (3, [])
    assert "no usable Python 3.12 found" in done.stderr
    assert not (checkout.root / ".venv-old").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--fast"], "unknown option --fast"),
        (["--python"], "--python needs a value"),
        (["--venv", ""], "--venv needs a value"),
        (["--python", "3.9 2.7"], "--python 2.7: choose among 3.13 3.12"),
    ],
)
def test_wrong_options(checkout, options, message):
    done, calls = checkout(*options)
    assert (done.returncode, calls) == (1, [])
    assert message in done.stderr
