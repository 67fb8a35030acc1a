"""Opens the model that is to be made smaller, in any form in which models are kept.

A packed file of ESPnet's stage 14, a name that espnet_model_zoo or the Hugging Face hub
knows, an experiment directory, or a config.yaml with a checkpoint.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from espnet_adaptive_dropout.compress.configs import (
    completed_config,
    find_task,
    located_paths,
)
from espnet_adaptive_dropout.compress.fetch import fetched, unpacked
from espnet_adaptive_dropout.experiments.experiment import (
    load_config,
    load_task,
)
from espnet_adaptive_dropout.experiments.files import write_yaml

# Endings of the files that ESPnet packs
_PACKED = (".zip", ".tar", ".tgz", ".tar.gz", ".tbz2", ".tar.bz2", ".txz", ".tar.xz")
_CONFIGS = (".yaml", ".yml")
_FORMS = (
    "MODEL must be a packed file (.zip), an experiment directory, a config.yaml with "
    "--model_file, or the name of a published model"
)


@dataclasses.dataclass(frozen=True)
class Source:
    """A model that was opened.

    Args:
        name: MODEL as the user gave it.
        task: name of a module of ``espnet2.tasks``.
        config_file: its config with all options of this ESPnet and with absolute
            paths, which is a copy.
        model_file: its checkpoint.
        experiment: directory of its own config.yaml.
        root: directory of a packed or published model, whose files do not stay; None
            for an experiment of the user's.
        others: further files of a packed model, for example its language model, by
            the name under which they are packed.
    """

    name: str
    task: str
    config_file: Path
    model_file: Path
    experiment: Path
    root: Path | None = None
    others: dict[str, Path] = dataclasses.field(default_factory=dict)


def open_source(
    model: str,
    directory: Path,
    task: str | None = None,
    model_file: str | Path | None = None,
) -> Source:
    """Find the config, the checkpoint and the task of a model.

    Args:
        model: packed file, experiment directory, config.yaml, or name of a published
            model.
        directory: directory for the unpacked files and the completed config.
        task: name of a module of ``espnet2.tasks``; None finds it.
        model_file: checkpoint; None takes that of the packed file or the only
            ``valid.*.ave.pth`` of the experiment.

    Raises:
        ValueError: there is no such model, it cannot be fetched or unpacked, its
            tokeniser is missing, its checkpoint or its task is not clear, or it reads
            something else than audio.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path = Path(model)
    parts: dict[str, Path] = {}
    root: Path | None = None
    if path.is_dir():
        config = path / "config.yaml"
        if not config.is_file():
            raise ValueError(f"{model}: no config.yaml in this directory; {_FORMS}")
        checkpoint = Path(model_file) if model_file else _only_checkpoint(path)
    elif path.is_file() and path.suffix in _CONFIGS:
        if model_file is None:
            raise ValueError(f"{model}: --model_file CHECKPOINT.pth is needed with it")
        config, checkpoint = path, Path(model_file)
    else:
        if model_file is not None:
            raise ValueError(
                f"--model_file {model_file}: goes with an experiment directory or a "
                f"config.yaml; {model} has a checkpoint of its own"
            )
        parts, root = _packed_parts(model, directory)
        names = _names(parts, model)
        config, checkpoint = (parts.pop(name) for name in names)
        task = task or _packed_task(names[0], config)
    content = load_config(config)
    task = task or find_task(content)
    bases = [root] if root else [*config.resolve().parents, Path.cwd()]
    content = completed_config(located_paths(content, bases), load_task(task))
    _check_tokeniser(content, model)
    _check_input(content, model)
    completed = directory / "config.yaml"
    write_yaml(completed, content)
    return Source(model, task, completed, checkpoint, config.parent, root, parts)


def _check_tokeniser(config: Mapping[str, Any], model: str) -> None:
    """Refuse a model without the file of its BPE tokeniser, with a ValueError."""
    file = config.get("bpemodel")
    if config.get("token_type") == "bpe" and file and not Path(file).is_file():
        raise ValueError(
            f"{model}: its tokeniser {file} is missing; pack the model with "
            f"'--option {file}', or call this in the directory of the recipe"
        )


def _check_input(config: Mapping[str, Any], model: str) -> None:
    """Refuse a model that does not read audio alone, with a ValueError."""
    advice = "compress has audio alone; 'adaprune prune' cuts this model"
    if config.get("input_size") is not None:
        size = config["input_size"]
        raise ValueError(f"{model}: reads features (input_size: {size}), {advice}")
    if config.get("postdecoder"):
        reader = config["postdecoder"]
        raise ValueError(
            f"{model}: reads transcripts too (postdecoder: {reader}), {advice}"
        )


def own_data(source: Source) -> list[str]:
    """Return the directories of the data that an experiment was trained on.

    Raises:
        ValueError: its config names none, or they are not there.
    """
    config = load_config(source.experiment / "config.yaml")
    named = config.get("train_data_path_and_name_and_type") or []
    speech = [item[0] for item in named if item[1] == "speech"]
    for base in [*source.experiment.resolve().parents, Path.cwd()]:
        if speech and source.root is None and (base / speech[0]).is_file():
            return [str((base / speech[0]).parent)]
    raise ValueError(
        f"--data is needed: {source.name} is no experiment whose training data are "
        f"here; give a data directory or a folder of audio files"
    )


def _only_checkpoint(experiment: Path) -> Path:
    """Return the averaged checkpoint of an experiment.

    Raises:
        ValueError: there is none, or there are several.
    """
    averages = {path.resolve(): path for path in experiment.glob("valid.*.ave*.pth")}
    for path in sorted(experiment.glob("valid.*.ave.pth")):  # links have the short name
        averages[path.resolve()] = path
    if len(averages) == 1:
        return next(iter(averages.values()))
    found = sorted(path.name for path in averages.values())
    others = sorted(path.name for path in experiment.glob("*.pth"))
    if not others:
        raise ValueError(f"{experiment}: no checkpoint (.pth) in this directory")
    what = "several averaged checkpoints" if found else "no averaged checkpoint"
    raise ValueError(
        f"{experiment}: has {what}; choose one with --model_file {experiment}/NAME, "
        f"NAME one of {', '.join(found or others)}"
    )


def _packed_parts(model: str, directory: Path) -> tuple[dict[str, Path], Path]:
    """Return the files of a packed or published model by name, and their root."""
    path = Path(model)
    parts: Mapping[str, Any]
    if path.is_file():
        if not model.endswith(_PACKED):
            raise ValueError(f"{model}: not a file that ESPnet packs; {_FORMS}")
        root = directory.absolute() / "unpacked"
        parts = unpacked(path, root)
    elif model.endswith((*_PACKED, *_CONFIGS, ".pth")) or model.startswith((".", "/")):
        raise ValueError(f"{model}: no such file or directory; {_FORMS}")
    else:
        parts = fetched(model)
        checkpoints = [value for n, value in parts.items() if n.endswith("model_file")]
        root = _root_of(Path(next(iter(checkpoints), "")))
    found = {name: Path(value) for name, value in parts.items()}
    for name, file in found.items():
        # ``pack`` notes absolute paths where it was not called from above the files.
        inside = root / str(file).lstrip("/")
        if not file.exists() and inside.exists():
            found[name] = inside
        if not found[name].exists():
            raise ValueError(f"{model}: {file} is missing in it; pack the model again")
    return found, root


def _root_of(file: Path) -> Path:
    """Return the directory of the meta.yaml above a file of an unpacked model."""
    for parent in file.absolute().parents:
        if (parent / "meta.yaml").exists():
            return parent
    return file.absolute().parent


def _names(parts: Mapping[str, Path], model: str) -> tuple[str, str]:
    """Return the names of the model's config and checkpoint among the packed files."""
    config = _one(n for n in parts if n.endswith("train_config") and "lm_" not in n)
    checkpoint = _one(n for n in parts if n.endswith("model_file"))
    if config is None or checkpoint is None:
        raise ValueError(
            f"{model}: has {', '.join(parts) or 'nothing'} in it, and not one training "
            f"config and one model, as ESPnet's stage 14 packs them"
        )
    return config, checkpoint


def _one(names: Any) -> str | None:
    found: Sequence[str] = list(names)
    return found[0] if len(found) == 1 else None


def _packed_task(name: str, config: Path) -> str:
    """Return the task of a packed model.

    Args:
        name: name of the packed config, for example "asr_train_config".
        config: the packed config; other tasks share the name of some.
    """
    prefix = name[: -len("train_config")].rstrip("_")
    found = find_task(load_config(config))
    return prefix if prefix in ("st", "enh_s2t") else found
