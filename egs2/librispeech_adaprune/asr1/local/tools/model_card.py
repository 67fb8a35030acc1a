#!/usr/bin/env python3
"""Writes the README.md that is packed with a model: what it needs, how to use it."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import yaml
from common import replacing, run_tool

_PLUGIN = "espnet_adaptive_dropout"
_PLUGIN_ENCODERS = (
    "adaptive_dropout_conformer",
    "compact_conformer",
    f"{_PLUGIN}.compact_conformer",
)
_METADATA = """---
library_name: espnet
tags:
- espnet
- audio
- automatic-speech-recognition
---
"""
_PAPER = "[arXiv 2412.04836](https://arxiv.org/abs/2412.04836)"


def card(
    config: dict, results: str, zip_name: str, repo: str, pruning: str = ""
) -> str:
    """Return the model card.

    Args:
        config: The experiment's config.yaml.
        results: Its RESULTS.md, or "".
        zip_name: Name of the packed model.
        repo: Hugging Face repository, or "".
        pruning: Its report.md, or "".
    """
    parts = [f"# {zip_name.rsplit('.', 1)[0]}", _need(config.get("encoder"))]
    parts.append(_usage(config.get("encoder") in _PLUGIN_ENCODERS, repo or zip_name))
    if pruning:
        parts += [
            _demoted(pruning),
            "`plan.yaml` lists the units that stayed, `certificate.json` has the "
            "comparison of the encoder with the one it was cut from, `report.json` "
            "all of the above for programs.",
        ]
    if results:
        parts.append(_demoted(results))
    return _METADATA + "\n\n".join(part.strip() for part in parts) + "\n"


def _need(encoder: str) -> str:
    text = f"An ESPnet2 model with the encoder `{encoder}`."
    if encoder not in _PLUGIN_ENCODERS:
        return text
    return (
        f"{text} That encoder comes from the package `{_PLUGIN}` (adaptive dropout "
        f"for pruning Conformers, {_PAPER}): where it is not installed, ESPnet ends "
        f"with `--encoder must be one of ... --encoder {encoder}`."
    )


def _usage(plugin: bool, tag: str) -> str:
    install = "pip install 'espnet>=202609'"
    first = ""
    if plugin:
        install = "pip install espnet-adaptive-dropout   # or: pip install CHECKOUT"
        first = f"import {_PLUGIN}  # registers the encoder\n"
    return (
        f"```bash\n{install}\n```\n```python\n{first}"
        "import soundfile\nfrom espnet2.bin.asr_inference import Speech2Text\n\n"
        f'recognise = Speech2Text.from_pretrained("{tag}")\n'
        'samples, rate = soundfile.read("speech.flac")\n'
        "print(recognise(samples)[0][0])\n```"
    )


def _demoted(markdown: str) -> str:
    """Markdown with its headings one level further down."""
    return re.sub("^(#+ )", r"#\1", markdown, flags=re.MULTILINE)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


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
    texts = [_text(args.experiment / name) for name in ("RESULTS.md", "report.md")]
    with replacing(args.out) as stream:
        stream.write(card(config, texts[0], args.zip, args.repo, texts[1]))


if __name__ == "__main__":
    run_tool(main)
