"""Reading, resampling and writing of audio files."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import soundfile
from common import RecipeError


def check_entry(utterance: str, entry: str) -> Path:
    """Return the file that a wav.scp entry names.

    Args:
        utterance: The utterance's or recording's name, for messages.
        entry: The rest of its line in wav.scp.

    Raises:
        RecipeError: It is a pipe, an entry in an archive, or there is no such file.
    """
    if entry.endswith("|") or entry.startswith("|"):
        raise RecipeError(
            f"{utterance}: wav.scp has a pipe ('{entry}'); this driver takes audio "
            "files only: convert them first, or run with ESPNET_ROOT"
        )
    path = Path(entry)
    if not path.is_file():
        raise RecipeError(f"{utterance}: there is no audio file {entry}")
    return path


def read_audio(utterance: str, path: Path) -> tuple[np.ndarray, int]:
    """Read a whole mono audio file, so that damage anywhere in it is found.

    Args:
        utterance: Its name, for messages.
        path: The file.

    Returns:
        Samples (float32, from -1 to 1) and the sampling rate in Hz.

    Raises:
        RecipeError: Not audio, cut off, empty, or with more than one channel.
    """
    try:
        with soundfile.SoundFile(path) as stream:
            rate, channels, promised = stream.samplerate, stream.channels, len(stream)
            samples = stream.read(dtype="float32")
    except (soundfile.SoundFileError, RuntimeError) as error:
        raise RecipeError(
            f"{utterance}: {path} cannot be read as audio: {error}"
        ) from None
    if channels != 1:
        raise RecipeError(f"{utterance}: {path} has {channels} channels, not one")
    if len(samples) == 0:
        raise RecipeError(f"{utterance}: {path} has no samples")
    if len(samples) < promised:
        raise RecipeError(
            f"{utterance}: {path} is cut off: {len(samples)} of {promised} samples"
        )
    return samples, rate


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
        About ``len(samples) / factor`` samples, at the same sampling rate.
    """
    from scipy.signal import resample_poly  # here, because its import takes seconds

    return resample_poly(samples, factor.denominator, factor.numerator)


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
