"""Speakers: what is the same in all utterances of a person."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ACCENTS = {
    "en-us": 0.56,
    "en": 0.15,
    "en-gb-x-rp": 0.10,
    "en-us-nyc": 0.09,
    "en-gb-scotland": 0.04,
    "en-gb-x-gbclan": 0.03,
    "en-029": 0.03,
}
_KLATT_SHARE = 0.08
_NAMES = {
    "F": "Ada Bess Cora Dora Edith Flora Grace Hilda Iris Jane Lydia Mabel".split(),
    "M": "Abel Basil Carl Duncan Edgar Felix George Hugh Ivor Jack Linus Miles".split(),
}
_SURNAMES = "Ashby Birch Crane Dale Elm Finch Gale Heath Lake Moss Reed Stone".split()


@dataclass(frozen=True)
class Speaker:
    """One voice.

    Attributes:
        reader: Number of the speaker, unique in the corpus.
        sex: ``F`` or ``M``.
        name: An invented name.
        accent: eSpeak voice name.
        variant: eSpeak voice variant: formants, fundamental frequency, phonation.
        rate: Mean rate in words per minute.
        pitch_range: Range of the intonation in eSpeak's units (50 is usual).
        warp: Denominator of the resampling ratio 320 / warp to 16 kHz. 441 is
            true to scale, other values make the vocal tract 4 % shorter or longer.
        tilt: Coefficient of a first-order filter, positive is brighter.
        peak: Frequency in Hz and gain in dB of a broad resonance.
    """

    reader: int
    sex: str
    name: str
    accent: str
    variant: str
    rate: float
    pitch_range: int
    warp: int
    tilt: float
    peak: tuple[float, float]


def make_speaker(reader: int, sex: str, rng: np.random.Generator) -> Speaker:
    """Draw a speaker.

    Args:
        reader: Number of the speaker.
        sex: ``F`` or ``M``.
        rng: Random generator.
    """
    first = _NAMES[sex][rng.integers(len(_NAMES[sex]))]
    last = _SURNAMES[rng.integers(len(_SURNAMES))]
    return Speaker(
        reader=reader,
        sex=sex,
        name=f"{first} {last}",
        accent=str(rng.choice(list(ACCENTS), p=list(ACCENTS.values()))),
        variant=_variant(sex, rng),
        rate=float(rng.uniform(132, 172)),
        pitch_range=int(rng.integers(30, 80)),
        warp=int(rng.integers(424, 460)),
        tilt=float(rng.uniform(-0.25, 0.35)),
        peak=(float(rng.uniform(400, 4500)), float(rng.uniform(-5, 5))),
    )


def _variant(sex: str, rng: np.random.Generator) -> str:
    """Return the contents of an eSpeak voice variant file."""
    if sex == "F":
        f0, tract = rng.uniform(150, 225), rng.uniform(1.04, 1.20)
    else:
        f0, tract = rng.uniform(78, 145), rng.uniform(0.90, 1.05)
    top = f0 * rng.uniform(1.25, 1.6)
    lines = [
        "language variant",
        "name speaker",
        f"gender {'female' if sex == 'F' else 'male'}",
        f"pitch {f0 * 0.9:.0f} {top:.0f}",
        f"flutter {rng.integers(0, 6)}",
        f"roughness {rng.integers(0, 4)}",
    ]
    for formant in range(9):
        scale = 100 * tract * (1 + 0.025 * rng.standard_normal())
        height, width = rng.uniform(80, 115), rng.uniform(85, 130)
        lines.append(f"formant {formant} {scale:.0f} {height:.0f} {width:.0f}")
    # The Klatt synthesiser is another engine with another timbre.
    if rng.random() < _KLATT_SHARE:
        lines.append(f"klatt {rng.integers(1, 5)}")
    elif rng.random() < 0.3:
        breath = " ".join(str(value) for value in rng.integers(0, 6, size=8))
        lines.append(f"breath {breath}")
    return "\n".join(lines) + "\n"
