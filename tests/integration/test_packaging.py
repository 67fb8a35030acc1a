"""The wheel and the sdist: built without the network, installed and run elsewhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from email import message_from_string
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from support.paths import ROOT

PACKAGE = "espnet_adaptive_dropout"
RECIPE = "egs2/librispeech_adaprune/asr1"
DIRECTORIES = (".github", "benchmarks", "docs", "egs2", "egs3", "tests", PACKAGE)
FILES = ("CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "LICENSE", "MANIFEST.in")
FILES += (".pre-commit-config.yaml", "README.md", "pyproject.toml", "setup.py")
# What runs of the recipe leave behind.
LEFT = [f"{RECIPE}/{name}/left" for name in ("data", "downloads", "dump", "exp")]
LEFT += [f"{RECIPE}/utils/left", "benchmarks/exp/left", f"{RECIPE}/asr.sh"]
LEFT += ["egs3/librispeech_adaprune/esp2_asr/exp/left"]
BUILD = """
import setuptools.build_meta as backend
backend.build_wheel("dist")
backend.build_sdist("dist")
"""


def call(*command, cwd=None):
    """Run a command without this checkout on Python's path; return its output."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**env, "OMP_NUM_THREADS": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def sources(root, *tops):
    """Names of the files of these directories, without caches."""
    files = (path for top in tops for path in (root / top).rglob("*"))
    return {
        path.relative_to(root).as_posix()
        for path in files
        if path.is_file() and path.suffix != ".pyc"
    }


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the repository in which the recipes have been run."""
    root = tmp_path_factory.mktemp("packaging") / "repo"
    root.mkdir()
    skipped = ("__pycache__", "exp", "data", "downloads", "dump", "utils", "scripts")
    ignore = shutil.ignore_patterns(*skipped, "pyscripts")
    for name in DIRECTORIES:
        shutil.copytree(ROOT / name, root / name, ignore=ignore)
    for name in FILES:
        shutil.copy(ROOT / name, root)
    (root / RECIPE / "asr.sh").unlink(missing_ok=True)
    for name in LEFT:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("generated")
    return root


@pytest.fixture(scope="module")
def built(checkout):
    """The directory with both, built as ``pip`` does it."""
    (checkout / "dist").mkdir()
    call(sys.executable, "-c", BUILD, cwd=checkout)
    return checkout / "dist"


@pytest.fixture(scope="module")
def wheel(built):
    (path,) = built.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def sdist(built):
    (path,) = built.glob("*.tar.gz")
    return path


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Function that makes an environment with this file installed in it.

    It sees the packages of the Python that runs the tests, behind its own.
    """

    def make(distribution):
        top = tmp_path_factory.mktemp("installed")
        call(sys.executable, "-m", "venv", "--without-pip", top / "venv")
        python = top / "venv/bin/python"
        site = Path(
            call(
                python, "-c", "import sysconfig as s; print(s.get_path('purelib'))"
            ).strip()
        )
        outer = sysconfig.get_path("purelib")
        (site / "outer.pth").write_text(f"import site; site.addsitedir({outer!r})\n")
        options = ["--no-deps", "--no-index", "--no-build-isolation", "--target", site]
        call(sys.executable, "-m", "pip", "install", *options, distribution, cwd=top)
        return python, site

    return make


@pytest.fixture(scope="module")
def installed(environment, wheel):
    return environment(wheel)


def test_the_wheel_is_the_package_alone(checkout, wheel):
    names = {n for n in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in n}
    assert names == sources(checkout, PACKAGE)
    assert f"{PACKAGE}/pruning/__init__.py" in names


def test_the_sdist_is_the_repository_without_what_runs_leave(checkout, sdist):
    with tarfile.open(sdist) as tar:
        members = {m.name.partition("/")[2]: m for m in tar if m.isfile()}
    ours = {n for n in members if "/" in n and ".egg-info/" not in n}
    assert ours == sources(checkout, *DIRECTORIES) - set(LEFT)
    assert set(FILES) <= set(members)
    assert not set(LEFT) & set(members)
    assert members[f"{RECIPE}/run.sh"].mode & 0o100


@pytest.fixture(scope="module")
def metadata(wheel):
    archive = zipfile.ZipFile(wheel)
    (name,) = (n for n in archive.namelist() if n.endswith("/METADATA"))
    return message_from_string(archive.read(name).decode())


def test_metadata(metadata, wheel):
    text = (ROOT / PACKAGE / "__init__.py").read_text()
    assert metadata["Version"] == re.search('__version__ = "(.+)"', text)[1]
    assert metadata["Name"] == "espnet-adaptive-dropout"
    assert set(metadata["Requires-Python"].split(",")) == {">=3.9", "<3.14"}
    extras = {"recipe", "egs3", "export", "medium", "benchmark", "test"}
    assert extras == set(metadata.get_all("Provides-Extra"))
    assert "Programming Language :: Python :: 3.9" in metadata.get_all("Classifier")
    names = zipfile.ZipFile(wheel).namelist()
    assert any(name.endswith("/LICENSE") for name in names)


@pytest.mark.parametrize(
    ("python", "accepted", "refused"),
    [
        ("3.9", "202511", "202609"),
        ("3.11", "202511", "202611"),
        ("3.12", "202609", "202511"),
        ("3.13", "202611", "202511"),
    ],
)
def test_each_python_gets_its_line_of_espnet(metadata, python, accepted, refused):
    lines = map(Requirement, metadata.get_all("Requires-Dist"))
    (espnet,) = (
        r
        for r in lines
        if r.name == "espnet" and r.marker.evaluate({"python_version": python})
    )
    assert espnet.specifier.contains(accepted)
    assert not espnet.specifier.contains(refused)


def test_commands_and_registries_from_the_installed_files(installed, tmp_path):
    python, site = installed
    assert "usage:" in call(python, "-m", PACKAGE, "-h", cwd=tmp_path)
    commands = sorted(path.stem for path in (ROOT / PACKAGE / "bin").glob("[a-z]*.py"))
    script = f"""
import importlib, importlib.util, {PACKAGE}
print("package", {PACKAGE}.__file__)
for name in {commands}:
    module = importlib.import_module("{PACKAGE}.bin." + name)
    if hasattr(module, "get_parser") and "usage" in module.get_parser().format_help():
        print("command", name)
from espnet2.tasks.asr import encoder_choices, model_choices
for choices in encoder_choices, model_choices:
    for name in choices.classes:
        print("class", name)
if importlib.util.find_spec("espnet3") and importlib.util.find_spec("lightning"):
    import {PACKAGE}.egs3
"""
    lines = call(python, "-c", script, cwd=tmp_path).splitlines()
    assert f"package {site / PACKAGE / '__init__.py'}" in lines
    assert {f"command {name}" for name in ("prune", "measure", "sweep")} <= set(lines)
    for name in ("adaptive_dropout_conformer", "compact_conformer", "adaptive_dropout"):
        assert f"class {name}" in lines


def test_the_console_command_answers_without_espnet(installed, tmp_path):
    python, site = installed
    command = site / "bin" / "adaprune"
    assert call(python, command, "--version").startswith("espnet-adaptive-dropout 0.")
    # Packages that Python has loaded by the time that the help is shown.
    script = f"""
import atexit, runpy, sys
loaded = lambda: print(*sorted({{"torch", "espnet2", "{PACKAGE}"}} & set(sys.modules)))
atexit.register(loaded)
sys.argv = ["adaprune", "--help"]
runpy.run_path({str(command)!r}, run_name="__main__")
"""
    lines = call(python, "-c", script, cwd=tmp_path).splitlines()
    assert "  adaprune COMMAND --help lists the options of a command." in lines
    assert lines[-1] == PACKAGE


def test_the_sdist_installs_the_same_files(environment, wheel, sdist, tmp_path):
    python, site = environment(sdist)
    names = {n for n in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in n}
    assert sources(site, PACKAGE) == names
    assert "usage:" in call(python, "-m", PACKAGE, "-h", cwd=tmp_path)
