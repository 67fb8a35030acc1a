"""The switch that lets plain ESPnet commands know the plugin."""

import os
import subprocess
import sys

import pytest
from support.paths import ROOT

from espnet_adaptive_dropout.bin import enable


@pytest.fixture
def site(tmp_path):
    directory = tmp_path / "site-packages"
    directory.mkdir()
    return directory


def python(site, script, *, plugin=True):
    """Run ``script`` in a Python whose site-packages include ``site``."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONPATH", None)
    # What ``site`` does at the start for the directories that Python knows.
    start = f"import site; site.addsitedir({str(site)!r})\n"
    if plugin:
        start = f"import sys; sys.path.append({str(ROOT)!r})\n" + start
    else:
        start = (
            "import sys, importlib.util\n"
            "find = importlib.util.find_spec\n"
            "importlib.util.find_spec = lambda name, *a: None "
            "if name == 'espnet_adaptive_dropout' else find(name, *a)\n"
        ) + start
    return subprocess.run(
        [sys.executable, "-c", start + script],
        capture_output=True,
        text=True,
        env=environment,
        cwd=site,
    )


LOADED = (
    "import sys\n"
    "print('espnet_adaptive_dropout' in sys.modules, 'torch' in sys.modules)"
)


def test_on_and_off(site, capsys):
    enable.main(["--site_packages", str(site)])
    assert str(site) in capsys.readouterr().out
    assert [path.name for path in site.iterdir()] == [enable.NAME]
    assert python(site, LOADED).stdout == "True False\n"
    enable.main(["--site_packages", str(site), "--off"])
    assert "removed" in capsys.readouterr().out
    assert not list(site.iterdir())
    enable.main(["--site_packages", str(site), "--off"])
    assert "not there" in capsys.readouterr().out


def test_enabled_but_uninstalled_is_silent(site):
    enable.main(["--site_packages", str(site)])
    process = python(site, LOADED, plugin=False)
    assert process.stdout == "False False\n"
    assert process.stderr == ""


def test_a_directory_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(SystemExit) as refusal:
        enable.main(["--site_packages", str(tmp_path / "nowhere")])
    assert str(refusal.value) == f"enable: {tmp_path}/nowhere: no such directory"
