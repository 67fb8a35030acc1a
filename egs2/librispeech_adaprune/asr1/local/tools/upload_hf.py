#!/usr/bin/env python3
"""Stage 15: a packed model, unpacked, to the Hugging Face hub."""

from __future__ import annotations

import argparse
import shutil
import tempfile
import zipfile
from pathlib import Path

import huggingface_hub
from common import RecipeError, run_tool


def upload(packed: Path, repo: str, readme: Path, token: str) -> str:
    """Upload a packed model and its README.md.

    Args:
        packed: The zip file.
        repo: ``user/name``; made when it does not exist.
        readme: The model card.
        token: Access token that may write to the repository.

    Returns:
        Address of the commit.

    Raises:
        RecipeError: The zip is damaged or the hub refuses.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            with zipfile.ZipFile(packed) as archive:
                archive.extractall(folder)
        except zipfile.BadZipFile as error:
            raise RecipeError(f"{packed}: {error}; run stage 14 again") from None
        shutil.copy(readme, Path(folder) / "README.md")
        try:
            huggingface_hub.create_repo(repo, token=token, exist_ok=True)
            commit = huggingface_hub.upload_folder(
                repo_id=repo, folder_path=folder, token=token
            )
        except Exception as error:  # the hub's client raises many unrelated types
            reason = " ".join(str(error).split())
            raise RecipeError(f"upload to {repo} failed: {reason}") from None
    return str(commit)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--zip", type=Path, required=True)
    parser.add_argument("--repo", required=True)
    parser.add_argument("--readme", type=Path, required=True)
    args = parser.parse_args()
    token = huggingface_hub.get_token()
    if not token:
        raise RecipeError(
            "no Hugging Face token: log in with 'hf auth login' or set HF_TOKEN"
        )
    print(upload(args.zip, args.repo, args.readme, token))


if __name__ == "__main__":
    run_tool(main)
