"""Stage 15; the hub is a stand-in."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import upload_hf
from common import RecipeError
from support.paths import RECIPE

SCRIPT = RECIPE / "local" / "tools" / "upload_hf.py"


@pytest.fixture
def packed(tmp_path):
    (tmp_path / "README.md").write_text("card")
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as archive:
        archive.writestr("exp/a/config.yaml", "encoder: x\n")
        archive.writestr("meta.yaml", "espnet: 1\n")
    return tmp_path / "m.zip"


def test_unpacked_model_and_card_are_uploaded(packed, monkeypatch):
    seen = {}

    def upload_folder(repo_id, folder_path, token):
        root = Path(folder_path)
        seen.update(
            {
                path.relative_to(root).as_posix(): path.read_text()
                for path in root.rglob("*")
                if path.is_file()
            }
        )
        return f"commit in {repo_id} with {token}"

    monkeypatch.setattr(upload_hf.huggingface_hub, "upload_folder", upload_folder)
    monkeypatch.setattr(upload_hf.huggingface_hub, "create_repo", lambda *a, **k: None)
    said = upload_hf.upload(packed, "me/x", packed.parent / "README.md", "T")
    assert said == "commit in me/x with T"
    assert seen == {
        "README.md": "card",
        "exp/a/config.yaml": "encoder: x\n",
        "meta.yaml": "espnet: 1\n",
    }


def test_refusal_is_one_line(packed, monkeypatch):
    def refuse(*_, **__):
        raise ValueError("403:\n forbidden")

    monkeypatch.setattr(upload_hf.huggingface_hub, "create_repo", refuse)
    with pytest.raises(RecipeError, match="upload to me/x failed: 403: forbidden"):
        upload_hf.upload(packed, "me/x", packed.parent / "README.md", "T")


def test_damaged_zip(packed):
    packed.write_bytes(b"PK")
    with pytest.raises(RecipeError, match="run stage 14 again"):
        upload_hf.upload(packed, "me/x", packed.parent / "README.md", "T")


def test_no_token(packed, recipe_env):
    env = {k: v for k, v in recipe_env.items() if not k.startswith(("HF_", "HUGGING"))}
    env["HF_HOME"] = str(packed.parent / "hf")
    command = [sys.executable, str(SCRIPT), "--zip", str(packed), "--repo", "me/x"]
    command += ["--readme", "README.md"]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 1
    assert "no Hugging Face token" in done.stderr
    assert done.stderr.count("\n") == 1
