"""The work directory beside the result, with which an interrupted run goes on."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from espnet_adaptive_dropout.experiments.files import directory_lock, write_json

_SETTINGS = "compress_settings.json"
# What takes long to make: labels that were recognised, and a training
LABELS, TRAINING = "recognised.jsonl", "training"
PRECIOUS = (LABELS, TRAINING)


def work_directory(output_dir: Path) -> Path:
    """Return the path of the work directory of a result: DIR.work beside DIR."""
    target = output_dir.absolute()
    return target.with_name(f"{target.name}.work")


@contextlib.contextmanager
def working(
    output_dir: Path, settings: dict[str, Any], keep: bool = False
) -> Iterator[Path]:
    """Yield the work directory; it is removed at the end.

    After an error it stays if there is something in it that took long.

    Args:
        output_dir: directory of the result.
        settings: what the work depends on; an interrupted run goes on only with the
            same.
        keep: leave the directory at the end too.

    Raises:
        ValueError: the directory was not made by this command or for other settings,
            or another run works in it.
    """
    path = work_directory(output_dir)
    path.parent.mkdir(parents=True, exist_ok=True)
    with directory_lock(path):
        before = _settings_of(path)
        changed = {n for n in settings if before.get(n, settings[n]) != settings[n]}
        if changed:
            what = ", ".join(
                f"--{name} {_text(settings[name])} (was {_text(before[name])})"
                for name in sorted(changed)
            )
            raise ValueError(
                f"{path}: holds unfinished work that was started with other options: "
                f"{what}; start it with the same, remove the directory, or choose "
                f"another --output_dir"
            )
        path.mkdir(exist_ok=True)
        write_json(path / _SETTINGS, settings)
        try:
            yield path
        except BaseException:
            if not any(next(path.rglob(name), None) for name in PRECIOUS):
                shutil.rmtree(path)
            raise
        if not keep:
            shutil.rmtree(path)


def _settings_of(path: Path) -> dict[str, Any]:
    """Return the settings that a work directory was made for; {} if there is none."""
    if not path.exists():
        return {}
    try:
        return json.loads((path / _SETTINGS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise ValueError(
            f"{path}: is there and was not made by this command, which needs the name "
            f"for its work; move it, or choose another --output_dir"
        ) from None


def _text(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
