"""Reading, resampling and writing of audio files."""

from __future__ import annotations

import io
import math
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from common import RecipeError


class Recording(NamedTuple):
    """Mono audio from wav.scp."""

    samples: np.ndarray  # float64, from -1 to 1
    rate: int  # Hz
    path: Path | None  # the file that has just this; None for what a command made
    subtype: str  # of the file, such as PCM_16


def is_command(entry: str) -> bool:
    """Tell whether a wav.scp entry is a command whose output is the audio."""
    return entry.endswith("|")


def check_entry(utterance: str, entry: str) -> Path:
    """Return the file that a wav.scp entry names.

    Args:
        utterance: The utterance's or recording's name, for messages.
        entry: The rest of its line in wav.scp.

    Raises:
        RecipeError: It is a command, or there is no such file.
    """
    if is_command(entry):
        raise RecipeError(f"{utterance}: '{entry}' is a command, not an audio file")
    path = Path(entry)
    if not path.is_file():
        raise RecipeError(f"{utterance}: there is no audio file {entry}")
    return path


def _read(utterance: str, source: Path | io.BytesIO, label: str) -> Recording:
    try:
        with soundfile.SoundFile(source) as stream:
            rate, channels, promised = stream.samplerate, stream.channels, len(stream)
            subtype, samples = stream.subtype, stream.read(dtype="float64")
    except (soundfile.SoundFileError, RuntimeError) as error:
        raise RecipeError(
            f"{utterance}: {label} cannot be read as audio: {error}"
        ) from None
    if channels != 1:
        raise RecipeError(f"{utterance}: {label} has {channels} channels, not one")
    if len(samples) == 0:
        raise RecipeError(f"{utterance}: {label} has no samples")
    if len(samples) < promised:
        raise RecipeError(
            f"{utterance}: {label} is cut off: {len(samples)} of {promised} samples"
        )
    path = source if isinstance(source, Path) else None
    return Recording(samples, rate, path, subtype)


def read_audio(utterance: str, path: Path) -> Recording:
    """Read a whole mono audio file, so that damage anywhere in it is found.

    Args:
        utterance: Its name, for messages.
        path: The file.

    Raises:
        RecipeError: Not audio, cut off, empty, or with more than one channel.
    """
    return _read(utterance, path, str(path))


def read_entry(utterance: str, entry: str) -> Recording:
    """Read the audio that a wav.scp entry stands for.

    Args:
        utterance: Its name, for messages.
        entry: A file, or a command that ends with ``|`` and prints an audio file.

    Raises:
        RecipeError: The command fails, or as in :func:`read_audio`.
    """
    if not is_command(entry):
        return read_audio(utterance, check_entry(utterance, entry))
    command = entry[:-1].strip()
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise RecipeError(
            f"{utterance}: '{command}' failed: {said[-1] if said else done.returncode}"
        )
    return _read(utterance, io.BytesIO(done.stdout), f"the output of '{command}'")


def resample(samples: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    """Change the sampling rate (Hz), with a linear-phase low-pass filter."""
    if rate == new_rate:
        return samples
    from scipy.signal import resample_poly  # here, because its import takes seconds

    divisor = math.gcd(rate, new_rate)
    return resample_poly(samples, new_rate // divisor, rate // divisor)


def change_speed(samples: np.ndarray, factor: Fraction) -> np.ndarray:
    """Make speech faster (factor above 1) or slower, its pitch going along.

    Args:
        samples: Mono samples.
        factor: Ratio of the old to the new duration.

    Returns:
        ``len(samples) / factor`` samples, rounded to the nearest whole number as sox
        does, at the same sampling rate.
    """
    from scipy.signal import resample_poly  # here, because its import takes seconds

    length = math.floor(len(samples) / factor + Fraction(1, 2))
    return resample_poly(samples, factor.denominator, factor.numerator)[:length]


def write_audio(path: Path, samples: np.ndarray, rate: int) -> None:
    """Write 16-bit audio of the kind that the file name's suffix tells.

    The file takes its name only when it is whole.

    Raises:
        OSError: It cannot be written, for example because the disk is full.
    """
    temporary = path.with_name(f".{path.name}.tmp{path.suffix}")
    try:
        clipped = np.clip(samples, -1.0, 1.0 - 2.0**-15)
        soundfile.write(temporary, clipped, rate, subtype="PCM_16")
        temporary.replace(path)
    except (soundfile.SoundFileError, RuntimeError) as error:
        raise OSError(f"{path} cannot be written (disk full?): {error}") from None
    finally:
        temporary.unlink(missing_ok=True)
