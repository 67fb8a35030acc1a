"""Files that join a packed model."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from add_to_zip import add
from common import RecipeError


def test_files_are_added_and_replaced(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("exp").mkdir()
    Path("exp/README.md").write_text("card")
    Path("exp/plan.yaml").write_text("plan")
    with zipfile.ZipFile("model.zip", "w") as archive:
        archive.writestr("meta.yaml", "torch: x")
        archive.writestr("exp/README.md", "old")
    add(Path("model.zip"), [Path("exp/README.md"), Path("exp/plan.yaml")])
    with zipfile.ZipFile("model.zip") as archive:
        found = {name: archive.read(name).decode() for name in archive.namelist()}
    expected = {"exp/README.md": "card", "exp/plan.yaml": "plan"}
    assert found == {"meta.yaml": "torch: x", **expected}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["exp", "model.zip"]


def test_a_missing_file_leaves_the_archive(tmp_path):
    archive = tmp_path / "model.zip"
    with zipfile.ZipFile(archive, "w") as stream:
        stream.writestr("meta.yaml", "x")
    before = archive.read_bytes()
    with pytest.raises(OSError):
        add(archive, [tmp_path / "none"])
    assert archive.read_bytes() == before


def test_not_an_archive(tmp_path):
    (tmp_path / "model.zip").write_text("no")
    with pytest.raises(RecipeError, match="model.zip: File is not a zip file"):
        add(tmp_path / "model.zip", [tmp_path / "model.zip"])
