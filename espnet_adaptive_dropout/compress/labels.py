"""The texts that a model is trained on, by the names of ESPnet's data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SOURCE = "src_text"


@dataclasses.dataclass(frozen=True)
class Labels:
    """The texts that an utterance needs if a model is to be trained on it.

    Args:
        names: their names, for example "text".
        compared: name of the one that recognitions are compared with.
        unknown: one of ``names`` that the model cannot recognise itself; None if it
            recognises all.
        files: name -> file of a data directory, where the model's own training had
            another than the usual one.
    """

    names: tuple[str, ...] = ("text",)
    compared: str = "text"
    unknown: str | None = None
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def complete(self, texts: Mapping[str, str]) -> bool:
        """Whether an utterance has them all."""
        return all(texts.get(name) for name in self.names)

    def completed(
        self, texts: Mapping[str, str], recognised: Mapping[str, str]
    ) -> dict[str, str]:
        """Return the texts of an utterance with what it lacks.

        Those of an S2T model belong together: its own replace all.
        """
        given = texts if self.compared == "text" else {}
        return {**recognised, **{name: text for name, text in given.items() if text}}


def labels_of(task: str, config: Mapping[str, Any]) -> Labels:
    """Return what a model is trained on.

    A speech translation model may learn to transcribe too, which takes transcripts of
    the source language. It recognises them itself if it has CTC for them.

    Args:
        task: name of a module of ``espnet2.tasks``.
        config: its training config.
    """
    files = _own_files(config)
    if task == "s2t":
        return Labels(("text", "text_prev", "text_ctc"), "text_ctc", files=files)
    if task != "st" or not _reads_source(config):
        return Labels(files=files)
    unknown = None if has_source_ctc(config) else SOURCE
    return Labels(("text", SOURCE), unknown=unknown, files=files)


def has_source_ctc(config: Mapping[str, Any]) -> bool:
    """Whether a speech translation model has CTC for the source language."""
    conf = config.get("model_conf") or {}
    return conf.get("asr_weight", 0.0) > 0.0 and conf.get("mtlalpha", 0.0) > 0.0


def _reads_source(config: Mapping[str, Any]) -> bool:
    conf = config.get("model_conf") or {}
    weights = (conf.get("asr_weight", 0.0), conf.get("mt_weight", 0.0))
    return max(weights) > 0.0 or bool(config.get("md_encoder"))


def _own_files(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the files of the texts that a model was trained on, by name.

    Recipes of speech translation call them for example text.tc.de.
    """
    data = config.get("train_data_path_and_name_and_type") or []
    return {name: Path(path).name for path, name, kind in data if kind == "text"}
