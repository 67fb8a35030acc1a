"""Kaldi-style data directories as an ESPnet3 dataset."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
from espnet3.components.data.base_dataset import BaseDataset
from espnet3.contract import Field

from espnet_adaptive_dropout.experiments.tables import read_table


class Dataset(BaseDataset):
    """Utterances of a directory that has ``wav.scp`` and ``text``.

    Args:
        directory: for example ``egs2/librispeech_adaprune/asr1/dump/raw/train``,
            written by stages 1 to 4 of the egs2 recipe.

    Raises:
        ValueError: a file is missing, or an utterance lacks audio or text.
    """

    fields = (Field("speech", "audio"), Field("text", "text"))

    def __init__(self, directory: str | Path):
        self.directory = Path(directory)
        audio, texts = self._table("wav.scp"), self._table("text")
        if set(audio) != set(texts):
            odd = sorted(set(audio) ^ set(texts))[0]
            raise ValueError(f"{directory}: {odd} is not both in wav.scp and in text")
        self.entries: list[tuple[str, str]] = [(audio[k], texts[k]) for k in audio]

    def _table(self, name: str) -> dict[str, str]:
        path = self.directory / name
        try:
            return read_table(path)
        except OSError as error:
            raise ValueError(
                f"{path}: {error.strerror}; run stages 1 to 4 of the egs2 recipe, or "
                f"name your own data in conf/training.yaml"
            ) from None

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> dict[str, object]:
        path, text = self.entries[int(index)]
        speech, _ = soundfile.read(path, dtype="float32")
        return {"speech": np.asarray(speech), "text": text}
