"""eSpeak NG through ctypes, giving the same bytes for the same request.

The library keeps the state of its oscillators between calls, and
``espeak_Terminate`` does not reset it. So it is loaded anew for every utterance and
unloaded afterwards (3-6 ms). Nothing else in the process may hold it loaded.
"""

from __future__ import annotations

import _ctypes
import contextlib
import ctypes
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from synth.errors import SynthError

SAMPLE_RATE = 22050
SILENCE = 8  # greatest absolute sample of a pause
VARIANT = "speaker"

# Names from eSpeak's speak_lib.h.
_SYNCHRONOUS, _DONT_EXIT = 2, 0x8000
_RATE, _VOLUME, _PITCH, _RANGE, _WORD_GAP = 1, 2, 3, 4, 7
# At eSpeak's 100 the Klatt voices clip; the level is set afterwards anyway.
_QUIET = 60
_POS_CHARACTER, _CHARS_UTF8 = 1, 1
# eSpeak copies the data path into a buffer of 160 bytes without checking it.
_MAX_PATH = 150
_DATA_FILES = ("phondata", "phonindex", "phontab", "intonations", "en_dict")
_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


@dataclass(frozen=True)
class Prosody:
    """Prosody of one utterance: words per minute, the rest in eSpeak's units."""

    rate: int
    pitch: int
    pitch_range: int
    word_gap: int


@contextlib.contextmanager
def voice_directory(variant: str, scratch: Path) -> Iterator[Path]:
    """Yield a private eSpeak data directory that holds one voice variant.

    eSpeak lists at most 350 voices, so every speaker gets a directory of their own
    instead of a file among all the others.

    Args:
        variant: Contents of the variant file.
        scratch: Existing directory in which the data directory is made.

    Raises:
        SynthError: eSpeak NG is not installed, or the path is too long for it.
    """
    shared = _data_path()
    with tempfile.TemporaryDirectory(dir=scratch) as name:
        own = Path(name) / "espeak-ng-data"
        if len(str(own)) > _MAX_PATH:
            raise SynthError(
                f"{own} is too long a path for eSpeak; set TMPDIR to a shorter one"
            )
        (own / "voices" / "!v").mkdir(parents=True)
        (own / "lang" / "gmw").mkdir(parents=True)
        for file in _DATA_FILES:
            (own / file).symlink_to(shared / file)
        for file in (shared / "lang" / "gmw").glob("en*"):
            (own / "lang" / "gmw" / file.name).symlink_to(file)
        (own / "voices" / "!v" / VARIANT).write_text(variant, encoding="ascii")
        yield own


def synthesize(text: str, accent: str, prosody: Prosody, data: Path) -> np.ndarray:
    """Speak a text.

    Args:
        text: Words in lower case (capitals may be spelt out letter by letter).
        accent: eSpeak voice name, such as ``en-us``.
        prosody: Rate, pitch, range and gap.
        data: A directory from :func:`voice_directory`.

    Returns:
        Samples at 22050 Hz, int16, shape (n,).

    Raises:
        SynthError: eSpeak refuses the data directory or the voice, or is silent.
    """
    blocks: list[bytes] = []

    def collect(samples, count, _events) -> int:
        if samples and count > 0:
            blocks.append(ctypes.string_at(samples, 2 * count))
        return 0

    callback = _CALLBACK(collect)  # kept alive until the library is gone
    library = _load(_loader().get_library_path())
    try:
        _speak(library, callback, text.encode("utf-8"), accent, prosody, data)
    finally:
        library.espeak_Terminate()
        _ctypes.dlclose(library._handle)
    sound = np.frombuffer(b"".join(blocks), dtype=np.int16)
    if not np.any(np.abs(sound) > SILENCE):
        raise SynthError(f"eSpeak has no sound for {text!r} with voice {accent}")
    return sound


def _speak(library, callback, text, accent, prosody, data) -> None:
    rate = library.espeak_Initialize(_SYNCHRONOUS, 0, str(data).encode(), _DONT_EXIT)
    if rate != SAMPLE_RATE:
        raise SynthError(f"eSpeak cannot use its data in {data} (it returned {rate})")
    library.espeak_SetSynthCallback(callback)
    # Initialize seeds breath noise from the clock.
    library.espeak_ng_SetRandSeed(ctypes.c_long(1))
    name = f"{accent}+{VARIANT}".encode()
    if library.espeak_SetVoiceByName(name) != 0:
        raise SynthError(f"eSpeak has no voice {accent}")
    for parameter, value in (
        (_RATE, prosody.rate),
        (_VOLUME, _QUIET),
        (_PITCH, prosody.pitch),
        (_RANGE, prosody.pitch_range),
        (_WORD_GAP, prosody.word_gap),
    ):
        library.espeak_SetParameter(parameter, value, 0)
    library.espeak_Synth(
        text, len(text) + 1, 0, _POS_CHARACTER, 0, _CHARS_UTF8, None, None
    )
    library.espeak_Synchronize()


def _loader():
    try:
        import espeakng_loader
    except ImportError:
        raise SynthError(
            "speech synthesis needs eSpeak NG: pip install espeakng-loader"
        ) from None
    return espeakng_loader


def _load(path: str) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(path)
    except OSError as error:
        raise SynthError(
            f"{path} does not load ({error}); pip install --force-reinstall "
            "espeakng-loader"
        ) from None


def _data_path() -> Path:
    return Path(_loader().get_data_path())
