"""Audio to compress a model on: data directories, or folders of audio files."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from espnet_adaptive_dropout.compress.waves import Recording, is_archived
from espnet_adaptive_dropout.experiments.tables import read_table

SUFFIXES = (".wav", ".flac", ".ogg")
# Tables of texts in a data directory: file name -> name in ESPnet's data
TEXTS = {
    "text": "text",
    "text.prev": "text_prev",
    "text.ctc": "text_ctc",
    "src_text": "src_text",
}


@dataclasses.dataclass
class Utterance:
    """An utterance.

    Args:
        audio: where its audio is.
        speaker: its speaker.
        texts: its texts by the names of ESPnet's data, for example "text".
    """

    audio: Recording
    speaker: str
    texts: dict[str, str] = dataclasses.field(default_factory=dict)


Utterances = dict[str, Utterance]


def read_data(
    paths: Sequence[str | Path], files: Mapping[str, str] | None = None
) -> Utterances:
    """Read directories of audio: those of Kaldi and ESPnet, or folders of files.

    Args:
        paths: directories with wav.scp (of a recipe's data or dump/raw), or folders
            in which audio files are looked for, also in folders inside.
        files: name of a text in ESPnet's data -> file that has it, where that is not
            the usual one; a directory without this file is read as usual.

    Raises:
        ValueError: a directory is missing or has no audio, a file that it names is
            missing, or the tables of a directory cannot be read.
    """
    found: Utterances = {}
    for path in map(Path, paths):
        if not path.is_dir():
            raise ValueError(
                f"--data {path}: no such directory; give a data directory with "
                f"wav.scp, or a folder of audio files ({', '.join(SUFFIXES)})"
            )
        is_kaldi = (path / "wav.scp").is_file()
        read = _kaldi(path, files or {}) if is_kaldi else _folder(path)
        for name, utterance in read.items():
            unique = name
            while unique in found:  # another directory has the name too
                unique = f"{path.name}-{unique}"
            found[unique] = utterance
    return found


def _folder(path: Path) -> Utterances:
    files = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
    tables = sorted(p.parent for p in path.glob("*/wav.scp"))
    if tables:
        raise ValueError(
            f"--data {path}: has no wav.scp, but directories in it have: give one of "
            f"them, such as {tables[0]}"
        )
    if not files:
        raise ValueError(f"--data {path}: no wav.scp and no {', '.join(SUFFIXES)} file")
    found: Utterances = {}
    for file in files:
        inside = file.relative_to(path)
        name = re.sub(r"[\s/]+", "-", str(inside.with_suffix("")))
        name = name if name not in found else f"{name}-{inside.suffix[1:]}"
        found[name] = Utterance(Recording(str(file.absolute())), speaker=name)
    return found


def _kaldi(path: Path, files: Mapping[str, str]) -> Utterances:
    """Read wav.scp, segments, utt2spk and the texts of a data directory."""
    try:
        recordings = read_table(path / "wav.scp")
        segments = _optional(path / "segments")
        speakers = _optional(path / "utt2spk")
        tables = {name: _optional(path / file) for file, name in TEXTS.items()}
        for name, file in files.items():
            if name in tables and (path / file).is_file():
                tables[name] = read_table(path / file)
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"--data {path}: cannot be read ({error})") from None
    bases = [Path.cwd(), *path.resolve().parents]
    found: Utterances = {}
    for name in segments or recordings:
        audio = _recording(path, name, recordings, segments, bases)
        texts = {key: table[name] for key, table in tables.items() if name in table}
        found[name] = Utterance(audio, speakers.get(name, name), texts)
    if not found:
        raise ValueError(f"--data {path}: its wav.scp is empty")
    return found


def _optional(path: Path) -> dict[str, str]:
    return read_table(path) if path.is_file() else {}


def _recording(
    path: Path,
    name: str,
    recordings: dict[str, str],
    segments: dict[str, str],
    bases: Sequence[Path],
) -> Recording:
    """Return where the audio of an utterance is, with an absolute path."""
    start = end = None
    recording = name
    if segments:
        words = segments[name].split()
        if len(words) != 3 or words[0] not in recordings:
            raise ValueError(
                f"--data {path}: segments has '{name} {segments[name]}', which is not "
                f"UTTERANCE RECORDING START END with a recording of wav.scp"
            )
        recording, start, end = words[0], float(words[1]), float(words[2])
    value = recordings[recording]
    if not value.endswith("|"):
        file = value.rsplit(":", 1)[0] if is_archived(value) else value
        base = next((b for b in bases if (b / file).is_file()), None)
        if base is None:
            raise ValueError(
                f"--data {path}: wav.scp names {file}, which is not there (relative "
                f"paths are looked for from here and from the directories above the "
                f"data)"
            )
        value = str((base / value).absolute())
    return Recording(value, start, end)
