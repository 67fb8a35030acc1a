"""From the synthesised voice to the recording: voice filter, room, noise, level."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy  # scipy.signal is imported on first use, in the workers: it takes seconds

from synth.espeak import SAMPLE_RATE as SOURCE_RATE
from synth.espeak import SILENCE
from synth.speakers import Speaker

SAMPLE_RATE = 16000
PEAK_LIMIT = 0.89
_TRUE_UP, _TRUE_DOWN = 320, 441
assert SOURCE_RATE * _TRUE_UP == SAMPLE_RATE * _TRUE_DOWN


@dataclass(frozen=True)
class Conditions:
    """Ranges from which the recording conditions of a chapter are drawn.

    Attributes:
        reverberation: Reverberation time T60 in seconds.
        direct: Ratio of direct to reverberant energy in dB.
        snr: Signal-to-noise ratio in dB.
    """

    reverberation: tuple[float, float]
    direct: tuple[float, float]
    snr: tuple[float, float]


CLEAN = Conditions(reverberation=(0.08, 0.25), direct=(11, 20), snr=(25, 40))
OTHER = Conditions(reverberation=(0.2, 0.5), direct=(4, 11), snr=(10, 21))


@dataclass(frozen=True)
class Room:
    """Recording conditions of one chapter.

    Attributes:
        response: Impulse response, shape (n,), the direct sound at index 0.
        snr: Signal-to-noise ratio in dB.
        colour: Pole of the noise filter; 0 is white, towards 1 is darker.
        hum: Frequency of the mains in Hz, or 0 for none.
        level: Level of the speech in dB below full scale (root mean square).
    """

    response: np.ndarray
    snr: float
    colour: float
    hum: float
    level: float


def make_room(conditions: Conditions, rng: np.random.Generator) -> Room:
    """Draw the recording conditions of a chapter."""
    seconds = rng.uniform(*conditions.reverberation)
    length = int(seconds * SAMPLE_RATE)
    decay = 10 ** (-3 * np.arange(length) / length)  # -60 dB at the end
    tail = rng.standard_normal(length) * decay
    tail[: int(rng.uniform(0.002, 0.008) * SAMPLE_RATE)] = 0
    direct = 10 ** (rng.uniform(*conditions.direct) / 20)
    tail /= np.sqrt(np.sum(tail**2)) * direct
    tail[0] = 1
    return Room(
        response=tail,
        snr=rng.uniform(*conditions.snr),
        colour=rng.uniform(0.0, 0.97),
        hum=float(rng.choice([0, 0, 0, 50, 60])),
        level=rng.uniform(-31, -20),
    )


def record(
    speech: np.ndarray, speaker: Speaker, room: Room, rng: np.random.Generator
) -> np.ndarray:
    """Record an utterance.

    Args:
        speech: eSpeak's samples at 22050 Hz, int16, shape (n,).
        speaker: The speaker whose voice filter is applied.
        room: Room, noise and level of the chapter.
        rng: Random generator of the noise and the silences.

    Returns:
        Samples at 16 kHz, int16, shape (m,), peak below full scale.
    """
    dry = _voice(_trim(speech).astype(np.float64), speaker)
    before, after = rng.uniform(0.1, 0.25, size=2)
    dry = np.pad(dry, (int(before * SAMPLE_RATE), int(after * SAMPLE_RATE)))
    wet = scipy.signal.oaconvolve(dry, room.response)[: len(dry)]
    wet *= 1 / np.sqrt(np.mean(wet**2))
    mix = wet + _noise(len(wet), room, rng) * 10 ** (-room.snr / 20)
    mix *= 10 ** ((room.level + rng.uniform(-2, 2)) / 20)
    mix *= min(1.0, PEAK_LIMIT / np.max(np.abs(mix)))
    return np.round(mix * 32767).astype(np.int16)


def _trim(speech: np.ndarray) -> np.ndarray:
    """Cut eSpeak's own pauses off both ends."""
    sounding = np.flatnonzero(np.abs(speech) > SILENCE)
    return speech[sounding[0] : sounding[-1] + 1]


def _voice(speech: np.ndarray, speaker: Speaker) -> np.ndarray:
    """Resample to 16 kHz with the speaker's warp, tilt and resonance."""
    speech = scipy.signal.resample_poly(speech, _TRUE_UP, speaker.warp)
    speech = scipy.signal.lfilter([1.0, -speaker.tilt], [1.0], speech)
    frequency, gain = speaker.peak
    # speech + (10^(gain/20) - 1) x its band: a bell of that height.
    b, a = scipy.signal.iirpeak(frequency, Q=1.2, fs=SAMPLE_RATE)
    return speech + (10 ** (gain / 20) - 1) * scipy.signal.lfilter(b, a, speech)


def _noise(length: int, room: Room, rng: np.random.Generator) -> np.ndarray:
    """Return coloured noise, with hum in some rooms; root mean square 1."""
    noise = scipy.signal.lfilter(
        [1.0], [1.0, -room.colour], rng.standard_normal(length)
    )
    noise /= np.sqrt(np.mean(noise**2))
    if room.hum:
        time = np.arange(length) / SAMPLE_RATE
        for harmonic in (1, 2, 3):
            phase = rng.uniform(0, 2 * np.pi)
            angle = 2 * np.pi * room.hum * harmonic * time + phase
            noise += 0.5 / harmonic * np.sin(angle)
        noise /= np.sqrt(np.mean(noise**2))
    return noise
