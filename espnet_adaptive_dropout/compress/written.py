"""Data directories as ESPnet's tasks read them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from espnet_adaptive_dropout.compress.audio import TEXTS, Utterances
from espnet_adaptive_dropout.compress.waves import as_wave, is_archived
from espnet_adaptive_dropout.experiments.data import Triplet
from espnet_adaptive_dropout.experiments.files import write_text


@dataclasses.dataclass
class Written:
    """A data directory that was written.

    Args:
        directory: the directory, with wav.scp, utt2spk, spk2utt and texts.
        kind: ESPnet's type of the audio, "sound" or "kaldi_ark".
        texts: names of the texts that it has, for example "text".
        utterances: number of utterances.
    """

    directory: Path
    kind: str
    texts: list[str]
    utterances: int

    @property
    def speech(self) -> Triplet:
        """The audio as ESPnet takes it."""
        return str(self.directory / "wav.scp"), "speech", self.kind

    @property
    def triplets(self) -> list[Triplet]:
        """The audio and the texts as ESPnet takes them."""
        files = [(file, name) for file, name in TEXTS.items() if name in self.texts]
        texts = [(str(self.directory / file), name, "text") for file, name in files]
        return [self.speech, *texts]


def write_data(utterances: Utterances, directory: Path, rate: int) -> Written:
    """Write a data directory.

    Audio that ESPnet cannot take as it is (a command, a part of a recording, several
    channels, another sampling rate) is written there as a file; all else stays where
    it is. Files that are there are kept: an interrupted run goes on with them.

    Args:
        utterances: the utterances; only texts that all of them have are written.
        directory: the directory.
        rate: sampling rate of the model in Hz.

    Raises:
        ValueError: audio cannot be read.
        OSError: the directory cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    audio = {}
    for name, one in sorted(utterances.items()):
        audio[name] = as_wave(one.audio, directory / "audio" / f"{name}.wav", rate)
    kinds = {"kaldi_ark" if is_archived(value) else "sound" for value in audio.values()}
    if len(kinds) > 1:
        raise ValueError(
            "--data: some audio is in archives (.ark) and some in files; give one kind "
            "at a time"
        )
    _write_table(directory / "wav.scp", audio.items())
    speakers: dict[str, list[str]] = {}
    for name in audio:
        speakers.setdefault(utterances[name].speaker, []).append(name)
    _write_table(directory / "utt2spk", ((n, utterances[n].speaker) for n in audio))
    _write_table(directory / "spk2utt", ((s, " ".join(n)) for s, n in speakers.items()))
    texts = common_texts(utterances)
    for file, key in TEXTS.items():
        if key in texts:
            rows = ((name, utterances[name].texts[key]) for name in audio)
            _write_table(directory / file, rows)
    return Written(directory, kinds.pop(), texts, len(audio))


def common_texts(utterances: Utterances) -> list[str]:
    """Return the names of the texts that all utterances have."""
    values = list(utterances.values())
    return [k for k in TEXTS.values() if values and all(k in v.texts for v in values)]


def _write_table(path: Path, rows: Iterable[tuple[str, Any]]) -> None:
    write_text(path, "".join(f"{name} {value}\n" for name, value in rows))
