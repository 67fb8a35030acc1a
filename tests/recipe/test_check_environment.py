"""Whether an environment has what the recipe needs, and whose ESPnet is used."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest
from check_environment import imports_of, missing, version_of, whose_espnet
from common import RecipeError
from support.paths import RECIPE

TOOL = RECIPE / "local/tools/check_environment.py"


@pytest.fixture
def checkout(tmp_path):
    """A checkout with a version and a script that imports what is installed."""
    script = tmp_path / "egs2/TEMPLATE/asr1/pyscripts/audio/format_wav_scp.py"
    script.parent.mkdir(parents=True)
    script.write_text("import humanfriendly\n\ndef f():\n    import kaldiio\n")
    (tmp_path / "espnet").mkdir()
    (tmp_path / "espnet/version.txt").write_text(version("espnet") + "\n")
    return tmp_path


def test_same_version_means_the_installed_one(checkout):
    assert whose_espnet(checkout) == "installed"
    assert whose_espnet(None) == "installed"


def test_other_version_means_the_checkout_s(checkout):
    (checkout / "espnet/version.txt").write_text("190001\n")
    assert whose_espnet(checkout) == "checkout"


def test_version_at_the_root(checkout):
    (checkout / "espnet/version.txt").rename(checkout / "version.txt")
    assert whose_espnet(checkout) == "installed"
    (checkout / "version.txt").write_text("300001\n")
    assert version_of(checkout) == "300001"
    assert whose_espnet(checkout) == "checkout"


def test_what_the_scripts_need_is_asked_for(checkout, monkeypatch):
    monkeypatch.setattr("check_environment._SCRIPTS", ("no_such_module", "kaldiio"))
    script = checkout / "egs2/TEMPLATE/asr1/pyscripts/audio/format_wav_scp.py"
    script.write_text("import no_such_module\nfrom os.path import join\n")
    assert imports_of(script) == {"no_such_module", "os"}
    with pytest.raises(RecipeError, match="its scripts import no_such_module"):
        whose_espnet(checkout)


def test_nobody_has_espnet(checkout, monkeypatch):
    monkeypatch.setattr("check_environment.installed_espnet", lambda: None)
    assert whose_espnet(checkout) == "checkout"
    (checkout / "espnet/version.txt").unlink()
    with pytest.raises(RecipeError, match="neither .* has ESPnet"):
        whose_espnet(checkout)
    with pytest.raises(RecipeError, match="has no ESPnet"):
        whose_espnet(None)


def test_missing():
    assert missing(["sys", "no_such_module"]) == ["no_such_module"]


def test_a_bare_environment(tmp_path):
    tools = str(TOOL.parent)
    code = (
        f"import runpy, sys; sys.path.insert(0, {tools!r}); "
        f"runpy.run_path({str(TOOL)!r}, run_name='__main__')"
    )
    done = subprocess.run(
        # -I -S: no site-packages, as in a new environment
        [sys.executable, "-I", "-S", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "lacks espnet_adaptive_dropout, " in done.stderr
    assert done.stderr.count("\n") == 1
