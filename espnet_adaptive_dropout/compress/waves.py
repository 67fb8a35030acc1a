"""Recordings as ESPnet can read them: one channel, at the rate of the model."""

from __future__ import annotations

import dataclasses
import io
import re
import subprocess
from pathlib import Path
from typing import Any

from espnet_adaptive_dropout.experiments.experiment import first_line
from espnet_adaptive_dropout.experiments.files import replacing

_ARCHIVED = re.compile(r"\.ark:\d+$")


@dataclasses.dataclass(frozen=True)
class Recording:
    """Where audio is.

    Args:
        place: path of a file, place in an archive (FILE.ark:OFFSET), or a command
            that writes a file to its output, with | at the end, as in Kaldi.
        start: first second of the part that is meant; None for all of it.
        end: last second of the part.
    """

    place: str
    start: float | None = None
    end: float | None = None

    @property
    def is_file(self) -> bool:
        """Whether it is all of a file."""
        return not (
            self.start or self.end or self.is_command or is_archived(self.place)
        )

    @property
    def is_command(self) -> bool:
        """Whether a command writes it."""
        return self.place.endswith("|")


def is_archived(place: str) -> bool:
    """Whether audio lies in one of Kaldi's archives."""
    return _ARCHIVED.search(place) is not None


def seconds(recording: Recording) -> float | None:
    """Return the length of audio without reading it; None if that cannot be known.

    Raises:
        ValueError: the file cannot be read.
    """
    if recording.end is not None:
        return recording.end - (recording.start or 0.0)
    if not recording.is_file:
        return None
    info = _info(recording.place)
    return info.frames / info.samplerate


def as_wave(recording: Recording, path: Path, rate: int) -> str:
    """Return audio as ESPnet takes it: the file as it is, or a new one.

    Args:
        recording: the audio.
        path: name of the new file, if one is needed; one that is there is taken.
        rate: sampling rate in Hz that the audio must have.

    Raises:
        ValueError: the audio cannot be read.
        OSError: the new file cannot be written.
    """
    if is_archived(recording.place):
        if recording.start is not None:
            raise ValueError(
                f"{recording.place}: parts of recordings (segments) in archives are "
                f"not read; give dump/raw/... of the recipe instead"
            )
        return recording.place
    if recording.is_file:
        info = _info(recording.place)
        if info.samplerate == rate and info.channels == 1:
            return recording.place
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(recording, path, rate)
    return str(path.absolute())


def _info(path: str) -> Any:
    import soundfile

    try:
        return soundfile.info(path)
    except (RuntimeError, OSError) as error:
        raise ValueError(
            f"{path}: cannot be read as audio ({first_line(error)})"
        ) from None


def _write(recording: Recording, path: Path, rate: int) -> None:
    """Write one channel at ``rate`` as 16-bit samples, as ESPnet's stage 3 does."""
    import soundfile
    import torch
    import torchaudio

    source: Any = recording.place
    if recording.is_command:
        done = subprocess.run(
            recording.place[:-1], shell=True, stdout=subprocess.PIPE, check=False
        )
        if done.returncode:
            raise ValueError(f"{recording.place}: ended with status {done.returncode}")
        source = io.BytesIO(done.stdout)
    try:
        samples, found = soundfile.read(source, dtype="float32", always_2d=True)
    except (RuntimeError, OSError) as error:
        raise ValueError(
            f"{recording.place}: cannot be read as audio ({first_line(error)})"
        ) from None
    first = round((recording.start or 0.0) * found)
    last = None if recording.end is None else round(recording.end * found)
    wave = torch.from_numpy(samples[first:last].mean(axis=1))
    if found != rate:
        wave = torchaudio.functional.resample(wave, found, rate)
    with replacing(path) as partial:
        soundfile.write(partial, wave.numpy(), rate, format="WAV", subtype="PCM_16")
