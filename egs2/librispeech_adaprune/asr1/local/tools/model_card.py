#!/usr/bin/env python3
"""Writes the README.md that is packed with a model: what it needs, how to use it."""

from __future__ import annotations

import argparse
from pathlib import Path

import yaml
from common import replacing, run_tool

_PLUGIN_ENCODERS = ("adaptive_dropout_conformer", "compact_conformer")


def card(config: dict, results: str, zip_name: str, repo: str) -> str:
    """Return the model card.

    Args:
        config: The experiment's config.yaml.
        results: Its RESULTS.md, or "".
        zip_name: Name of the packed model.
        repo: Hugging Face repository, or "".
    """
    encoder = config.get("encoder")
    plugin = encoder in _PLUGIN_ENCODERS
    install = "pip install 'espnet>=202609'"
    first = ""
    need = f"An ESPnet2 model with the encoder `{encoder}`."
    if plugin:
        need += (
            " That encoder comes from the package `espnet_adaptive_dropout`: without"
            " it, ESPnet ends with `--encoder must be one of ...`."
        )
        install = "pip install espnet-adaptive-dropout   # or: pip install CHECKOUT"
        first = "import espnet_adaptive_dropout  # registers the encoder\n"
    return (
        "---\ntags:\n- espnet\n- audio\n- automatic-speech-recognition\n---\n"
        f"# {zip_name.rsplit('.', 1)[0]}\n\n{need}\n\n"
        f"```bash\n{install}\n```\n```python\n{first}"
        "import soundfile\nfrom espnet2.bin.asr_inference import Speech2Text\n\n"
        f'recognise = Speech2Text.from_pretrained("{repo or zip_name}")\n'
        'samples, rate = soundfile.read("speech.flac")\n'
        f"print(recognise(samples)[0][0])\n```\n\n{results}"
    )


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiment", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--zip", required=True)
    parser.add_argument("--repo", default="")
    args = parser.parse_args()
    with (args.experiment / "config.yaml").open(encoding="utf-8") as stream:
        config = yaml.safe_load(stream)
    results = args.experiment / "RESULTS.md"
    text = results.read_text(encoding="utf-8") if results.is_file() else ""
    with replacing(args.out) as stream:
        stream.write(card(config, text, args.zip, args.repo))


if __name__ == "__main__":
    run_tool(main)
