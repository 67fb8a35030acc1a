"""The model card: the README.md that is packed with a model."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from espnet_adaptive_dropout.experiments.encoder_entry import (
    PLUGIN_DECODERS,
    PLUGIN_ENCODERS,
    encoder_entry,
)
from espnet_adaptive_dropout.experiments.files import write_text

_PLUGIN = "espnet_adaptive_dropout"
# Shows that a README.md is a model card, which may be replaced
_MARK = "<!-- model card written when the model was packed -->"
_METADATA = """---
library_name: espnet
tags:
- espnet
- audio
- automatic-speech-recognition
---
"""
_PAPER = "[arXiv 2412.04836](https://arxiv.org/abs/2412.04836)"


def model_card(config: dict, results: str, zip_name: str, pruning: str = "") -> str:
    """Return the Markdown of the model card.

    Args:
        config: the experiment's config.yaml.
        results: the experiment's compress.md and RESULTS.md, or "".
        zip_name: file name of the packed model.
        pruning: the experiment's report.md, or "".
    """
    entry = encoder_entry(config)
    encoder = str(config.get(entry.option))
    decoder = str(config.get(entry.decoder_option))
    parts = [_MARK, f"# {zip_name.rsplit('.', 1)[0]}", _need(encoder, decoder)]
    plugin = encoder in PLUGIN_ENCODERS or decoder in PLUGIN_DECODERS
    s2t = config.get("preprocessor") == "s2t"
    parts.append(_usage(plugin, zip_name, "s2t" if s2t else "asr"))
    if pruning:
        parts += [
            _demoted(pruning),
            "`plan.yaml` lists the kept units, `certificate.json` compares the encoder "
            "with the one it was cut from, and `report.json` holds all of the above "
            "for programs.",
        ]
    if results:
        parts.append(_demoted(results))
    return _METADATA + "\n\n".join(part.strip() for part in parts) + "\n"


def _need(encoder: str, decoder: str) -> str:
    text = f"An ESPnet2 model with the encoder `{encoder}`"
    option, name = "encoder", encoder
    if decoder in PLUGIN_DECODERS:
        text += f" and the decoder `{decoder}`"
        if encoder not in PLUGIN_ENCODERS:
            option, name = "decoder", decoder
    elif encoder not in PLUGIN_ENCODERS:
        return f"{text}."
    return (
        f"{text}. That {option} comes from the package `{_PLUGIN}` (adaptive dropout "
        f"for pruning Conformers, {_PAPER}): where it is not installed, ESPnet ends "
        f"with `--{option} must be one of ... --{option} {name}`."
    )


def _usage(plugin: bool, tag: str, task: str) -> str:
    install = "pip install 'espnet>=202609'"
    first = ""
    if plugin:
        install = "pip install espnet-adaptive-dropout   # or: pip install CHECKOUT"
        first = f"import {_PLUGIN}  # registers the encoder\n"
    return (
        f"```bash\n{install}\n```\n```python\n{first}"
        f"import soundfile\nfrom espnet2.bin.{task}_inference import Speech2Text\n\n"
        f'recognise = Speech2Text.from_pretrained("{tag}")\n'
        'samples, rate = soundfile.read("speech.flac")\n'
        "print(recognise(samples)[0][0])\n```"
    )


def _demoted(markdown: str) -> str:
    """Return Markdown with its headings one level further down."""
    return re.sub("^(#+ )", r"#\1", markdown, flags=re.MULTILINE)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def write_model_card(experiment: Path, zip_name: str) -> Path:
    """Write README.md into an experiment directory.

    A README.md that is no model card is left as it is.

    Args:
        experiment: directory with config.yaml, and possibly RESULTS.md, report.md and
            compress.md.
        zip_name: file name of the packed model.

    Returns:
        Path of the README.md.
    """
    path = experiment / "README.md"
    if path.exists() and _MARK not in _text(path):
        return path
    config = yaml.safe_load(_text(experiment / "config.yaml")) or {}
    results = "\n".join(_text(experiment / n) for n in ("compress.md", "RESULTS.md"))
    pruning = _text(experiment / "report.md")
    write_text(path, model_card(config, results.strip(), zip_name, pruning))
    return path
