"""Where asr.sh and what it calls come from."""

from __future__ import annotations

import io
import sys
import tarfile

import espnet_scripts
import pytest
from espnet_scripts import TEMPLATE, ScriptsError, kept_scripts, unpack, use_checkout

FILES = {
    f"{TEMPLATE}/asr.sh": "#!/bin/bash\n",
    f"{TEMPLATE}/db.sh": "LIBRISPEECH=\n",
    f"{TEMPLATE}/utils/run.pl": "",
    f"{TEMPLATE}/scripts/audio/x.sh": "",
    f"{TEMPLATE}/pyscripts/audio/format_wav_scp.py": "import omniio\n",
    "tools/extra_path.sh": "",
    "tools/sentencepiece_commands/spm_train": "",
    "version.txt": "202699\n",
    "LICENSE": "",
    "egs2/other/asr1/run.sh": "",
}


@pytest.fixture
def archive(tmp_path):
    """Function that makes a source distribution."""

    def make(files, name="espnet-202699.tar.gz"):
        with tarfile.open(tmp_path / name, "w:gz") as tar:
            for path, text in files.items():
                member = tarfile.TarInfo(f"espnet-202699/{path}")
                member.size, member.mode = len(text), 0o755
                tar.addfile(member, io.BytesIO(text.encode()))
        return tmp_path / name

    return make


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """Root of a Python environment with ESPnet 202699 and nothing beside it."""
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
    monkeypatch.setattr(espnet_scripts, "installed_version", lambda: "202699")
    (tmp_path / "venv").mkdir()
    return tmp_path / "venv"


def test_scripts_are_fetched_once(archive, environment, monkeypatch):
    source = archive(FILES)
    monkeypatch.setattr(espnet_scripts, "download", lambda *_: source)
    root = kept_scripts()
    assert root == environment / "espnet-202699"
    assert (root / TEMPLATE / "asr.sh").stat().st_mode & 0o755 == 0o755
    assert (
        not (root / "egs2/other").exists() and not (root / TEMPLATE / "db.sh").exists()
    )
    assert list(environment.iterdir()) == [root]
    monkeypatch.delattr(espnet_scripts, "download")
    assert kept_scripts() == root


def test_incomplete_or_other_archives_leave_nothing(archive, environment):
    target = environment / "espnet-202699"
    fewer = {name: text for name, text in FILES.items() if "utils" not in name}
    for source, message in (
        (archive(fewer), "has no egs2/TEMPLATE/asr1/utils/"),
        (archive(FILES, "espnet-202611.tar.gz"), "says that it is version 202699"),
    ):
        with pytest.raises(ScriptsError, match=message):
            unpack(source, target)
    assert list(environment.iterdir()) == []


def test_damaged_archive_is_one_line(archive, environment, monkeypatch):
    source = archive(FILES)
    source.write_bytes(source.read_bytes()[:100])
    monkeypatch.setattr(espnet_scripts, "download", lambda *_: source)
    with pytest.raises(ScriptsError, match="cannot be made: .*; set ESPNET_ROOT to a"):
        kept_scripts()
    assert list(environment.iterdir()) == []


def test_no_network(environment, tmp_path, monkeypatch):
    pip = tmp_path / "pip"
    pip.write_text("#!/bin/sh\necho 'WARNING: x\nERROR: No matching' >&2\nexit 1\n")
    pip.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(pip))
    with pytest.raises(ScriptsError, match="downloaded: ERROR: No matching; try again"):
        kept_scripts()


def test_202511_asks_for_a_checkout(environment, monkeypatch):
    monkeypatch.setattr(espnet_scripts, "installed_version", lambda: "202511")
    with pytest.raises(
        ScriptsError, match="202511 has no asr.sh on PyPI: set ESPNET_R"
    ):
        kept_scripts()


@pytest.fixture
def checkout(archive, environment, tmp_path):
    unpack(archive(FILES), tmp_path / "checkout")
    return tmp_path / "checkout"


def test_modules_of_a_checkout_go_first_where_the_version_differs(
    checkout, monkeypatch, capsys
):
    assert use_checkout(checkout) is None
    monkeypatch.setattr(espnet_scripts, "installed_version", lambda: "202611")
    assert use_checkout(checkout) == checkout
    said = "ESPNET_ROOT is ESPnet 202699: its modules are used, not the installed "
    assert said in capsys.readouterr().err


def test_refused_checkouts(checkout, monkeypatch, tmp_path):
    with pytest.raises(ScriptsError, match="must be a checkout of ESPnet"):
        use_checkout(tmp_path)
    (checkout / "version.txt").unlink()
    monkeypatch.setattr(espnet_scripts, "installed_version", lambda: None)
    with pytest.raises(ScriptsError, match="neither .* has ESPnet"):
        use_checkout(checkout)
    monkeypatch.setattr(espnet_scripts, "SCRIPT_PACKAGES", ("omniio_of_2099",))
    script = checkout / TEMPLATE / "pyscripts/audio/format_wav_scp.py"
    script.write_text("from omniio_of_2099 import x\n")
    with pytest.raises(ScriptsError, match="pip install omniio_of_2099"):
        use_checkout(checkout)
