"""Configs of any ESPnet release, from anywhere: options, paths and the task."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# Options that name files of a training, which nobody needs afterwards, or no files
_NO_FILES = (
    *("train_data_path_and_name_and_type", "valid_data_path_and_name_and_type"),
    *("train_shape_file", "valid_shape_file", "fold_length", "output_dir", "config"),
    *("init_param", "version", "required", "best_model_criterion"),
)
# Values that earlier releases had, by option: the loss of these is the same.
_FORMER = {"ctc_conf": {"ctc_type": {"warpctc": "builtin", "cudnnctc": "builtin"}}}
# Initial weights of earlier releases, which those of the checkpoint replace
_FORMER_INIT = ("chainer",)
# An option that only the configs of a task have
_OPTION_OF = (
    ("subtask_series", "enh_s2t"),
    ("promptencoder", "s2t_ctc"),
    ("label_aggregator", "diar"),
    ("extra_asr_decoder", "st"),
    ("src_token_list", "mt"),
    ("transcript_token_list", "slu"),
)


def find_task(config: Mapping[str, Any]) -> str:
    """Return the task that a config.yaml is of: a module of ``espnet2.tasks``.

    Args:
        config: content of a config.yaml, which has all options of its task.
    """
    for option, task in _OPTION_OF:
        if option in config:
            return task
    return "s2t" if config.get("preprocessor") == "s2t" else "asr"


def completed_config(config: Mapping[str, Any], task: type[Any]) -> dict[str, Any]:
    """Return a config of an earlier ESPnet release as this one writes it.

    Options that the release did not have get their defaults, with which ESPnet's
    classes do what they did before; values that were renamed get the new name.

    Args:
        config: content of a config.yaml.
        task: ESPnet task class.
    """
    defaults = vars(task.get_parser().parse_args([]))
    new = {**_plain(defaults), **copy.deepcopy(dict(config))}
    for option, values in _FORMER.items():
        for name, renamed in values.items():
            conf = new.get(option) or {}
            if conf.get(name) in renamed:
                new[option] = {**conf, name: renamed[conf[name]]}
    if new.get("init") in _FORMER_INIT:
        new["init"] = None
    return new


def _plain(value: Any) -> Any:
    """Return tuples as lists, as ESPnet writes them into config.yaml."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else value


def located_paths(config: Mapping[str, Any], bases: Sequence[Path]) -> dict[str, Any]:
    """Return a config in which the paths of files are absolute.

    Args:
        config: content of a config.yaml.
        bases: directories in which relative paths, and the ends of absolute ones that
            lead nowhere, are looked for; the first that has the file.
    """
    return replaced_paths(config, lambda value: _located(value, bases))


def files_of(config: Mapping[str, Any]) -> list[str]:
    """Return the files that the model of a config needs, as the config names them.

    These are, for example, the model of the tokeniser and the statistics of the
    features.
    """
    found: dict[str, None] = {}

    def note(value: str) -> str:
        if _is_file(Path(value)):
            found[value] = None
        return value

    replaced_paths(config, note)
    return list(found)


def replaced_paths(config: Mapping[str, Any], replace: Any) -> dict[str, Any]:
    """Return a config with other paths.

    Args:
        config: content of a config.yaml.
        replace: is called with every string that may be a path, and returns what
            takes its place.
    """
    return {
        name: value
        if name in _NO_FILES or (name.endswith("token_list") and _is_list(value))
        else _replaced(value, replace)
        for name, value in config.items()
    }


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))


def _replaced(value: Any, replace: Any) -> Any:
    if isinstance(value, dict):
        return {key: _replaced(item, replace) for key, item in value.items()}
    if _is_list(value):
        return [_replaced(item, replace) for item in value]
    return replace(value) if isinstance(value, str) and "/" in value else value


def _located(value: str, bases: Sequence[Path]) -> str:
    path = Path(value)
    if path.is_absolute() and _is_file(path):
        return value
    parts = path.parts[1:] if path.is_absolute() else path.parts
    first_parts = range(len(parts) - 1) if path.is_absolute() else [0]
    for first in first_parts:
        for base in bases:
            found = base.joinpath(*parts[first:])
            if _is_file(found):
                return str(found.absolute())
    return value


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # no name of a file, for example too long
        return False
