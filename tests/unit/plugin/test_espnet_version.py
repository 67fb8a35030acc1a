"""What ESPnet is called where a checkout takes over from the installed one."""

from __future__ import annotations

import sys
import types
from importlib import metadata

import espnet2
import pytest

from espnet_adaptive_dropout.plugin import registry


def checkout(root, **files):
    """``espnet2`` as Python would import it from a checkout."""
    (root / "espnet2").mkdir(parents=True)
    for name, content in files.items():
        path = root / name.replace("__", "/").replace("_txt", ".txt")
        path = path.with_suffix(".toml") if name == "pyproject" else path
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    module = types.ModuleType("espnet2")
    module.__file__ = str(root / "espnet2" / "__init__.py")
    module.__version__ = espnet2.__version__
    return module


@pytest.mark.parametrize(
    "files, version",
    [
        (dict(espnet2__version_txt="202604\n"), "202604"),
        (dict(version_txt="202604\n"), "202604"),
        (dict(espnet__version_txt="202511\n"), "202511"),
        (dict(pyproject='[project]\nversion = "202608"\n'), "202608"),
        ({}, "unknown"),
    ],
)
def test_a_checkout_is_called_by_its_own_version(tmp_path, caplog, files, version):
    module = checkout(tmp_path, **files)
    registry.register(module)
    assert module.__version__.startswith(version)
    installed = metadata.version("espnet")
    assert f"ESPnet {version}" in caplog.text
    assert f"not the installed {installed}" in caplog.text


def test_a_checkout_of_the_installed_version_needs_no_word(tmp_path, caplog):
    module = checkout(tmp_path, version_txt=metadata.version("espnet"))
    registry.register(module)
    assert not caplog.text


def test_the_installed_espnet_keeps_its_version(caplog):
    before = espnet2.__version__
    registry.register(espnet2)
    assert espnet2.__version__ == before and not caplog.text


def test_it_is_told_when_it_is_imported(tmp_path, monkeypatch):
    checkout(tmp_path, version_txt="202604")
    (tmp_path / "espnet2" / "__init__.py").write_text("__version__ = 'installed'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [n for n in sys.modules if n.split(".")[0] == "espnet2"]:
        monkeypatch.delitem(sys.modules, name)
    import espnet2 as imported

    assert imported.__version__ == "202604"
    monkeypatch.delitem(sys.modules, "espnet2")
