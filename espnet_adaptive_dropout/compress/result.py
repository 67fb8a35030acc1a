"""The result: an experiment that stands alone, and the same packed as a zip."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Callable

from espnet_adaptive_dropout.compress.configs import files_of, replaced_paths
from espnet_adaptive_dropout.compress.source import Source
from espnet_adaptive_dropout.compress.tasks import file_names
from espnet_adaptive_dropout.compress.written import Written
from espnet_adaptive_dropout.experiments.experiment import load_config, open_model
from espnet_adaptive_dropout.experiments.files import write_text, write_yaml
from espnet_adaptive_dropout.experiments.model_card import write_model_card
from espnet_adaptive_dropout.experiments.tables import read_table

# Files that are packed beside config and model, where they are there
PACKED = (
    *("plan.yaml", "certificate.json", "report.md", "report.json"),
    *("compress.md", "compress.json", "images"),
)
HELD_OUT = Path("data/held_out")


def complete(
    partial: Path, output_dir: Path, source: Source, held_out: Written, work: Path
) -> Path:
    """Make an experiment stand alone, and pack it.

    Args:
        partial: the experiment, whose config names files of ``source`` and ``work``.
        output_dir: its later name.
        source: the original model.
        held_out: the held-out utterances, which become its validation data.
        work: directory for temporary files, which does not stay.

    Returns:
        The packed file, in ``partial``.

    Raises:
        ValueError: the packed file does not open.
        OSError: something cannot be written.
    """
    config_file = partial / "config.yaml"
    config = load_config(config_file)
    temporary = [path for path in (source.root, work.absolute()) if path]
    names = _unique_names(files_of(config))
    for file, name in names.items():
        if any(Path(file).is_relative_to(top) for top in temporary):
            shutil.copy(file, partial / name)

    def own(file: str) -> str:
        if (partial / names[file]).exists():
            return str(output_dir / names[file])
        here = Path.cwd()
        is_below = Path(file).is_relative_to(here)
        return str(Path(file).relative_to(here)) if is_below else file

    final = _with_paths(config, names, own)
    triplets = _copy_data(held_out, partial, output_dir)
    final["valid_data_path_and_name_and_type"] = triplets
    final["valid_shape_file"] = []
    name = f"{output_dir.name}.zip"
    model_file = next(partial.glob("*.pth"))
    write_yaml(config_file, final)
    write_model_card(partial, name)
    with tempfile.TemporaryDirectory(dir=work, prefix="pack.") as staging:
        _stage(Path(staging), partial, config, names, model_file, source, output_dir)
        _pack(Path(staging), partial / name, model_file.name, source, output_dir.name)
    _check(partial / name, source.task, work)
    return partial / name


def _unique_names(files: list[str]) -> dict[str, str]:
    """Return a file name for each path, no two of them equal."""
    names: dict[str, str] = {}
    for file in files:
        name, number = Path(file).name, 1
        while name in names.values():
            number += 1
            name = f"{Path(file).stem}_{number}{Path(file).suffix}"
        names[file] = name
    return names


def _with_paths(
    config: Mapping[str, Any], names: Mapping[str, str], new: Callable[[str], str]
) -> dict[str, Any]:
    return replaced_paths(config, lambda value: new(value) if value in names else value)


def _copy_data(data: Written, partial: Path, output_dir: Path) -> list[list[str]]:
    """Copy the held-out data; return the triplets that name them."""
    target = partial / HELD_OUT
    target.mkdir(parents=True)
    top = data.directory.absolute()
    for path, _, _ in data.triplets:
        shutil.copy(path, target)
    for name in ("utt2spk", "spk2utt"):
        shutil.copy(data.directory / name, target)
    lines = []
    for name, place in read_table(data.speech[0]).items():
        if Path(place).is_relative_to(top):  # was converted
            (target / "audio").mkdir(exist_ok=True)
            shutil.copy(place, target / "audio")
            final = output_dir.absolute() / HELD_OUT / "audio" / Path(place).name
            place = str(final)
        lines.append(f"{name} {place}\n")
    write_text(target / "wav.scp", "".join(lines))
    return [
        [str(output_dir / HELD_OUT / Path(path).name), name, kind]
        for path, name, kind in data.triplets
    ]


def _stage(
    staging: Path,
    partial: Path,
    config: Mapping[str, Any],
    names: Mapping[str, str],
    model_file: Path,
    source: Source,
    output_dir: Path,
) -> None:
    """Lay out the files as they are to lie in the packed file.

    The names have a directory, by which those who unpack them know them as paths.
    """
    top = f"exp/{output_dir.name}"
    inside = staging / top
    inside.mkdir(parents=True)
    packed = _with_paths(config, names, lambda file: f"{top}/{names[file]}")
    packed["valid_data_path_and_name_and_type"] = packed["valid_shape_file"] = []
    write_yaml(inside / "config.yaml", {**packed, "output_dir": top})
    _link(model_file, inside / model_file.name)
    for file, name in names.items():
        _link(Path(file), inside / name)
    for name in (*PACKED, "README.md"):
        if (partial / name).is_dir():
            shutil.copytree(partial / name, inside / name)
        elif (partial / name).exists():
            _link(partial / name, inside / name)
    for path in source.others.values():
        _stage_other(staging, path, source.root or path.parent)


def _stage_other(staging: Path, path: Path, root: Path) -> None:
    """Lay out a further file of the original's packed file, and what it names."""
    target = staging / path.relative_to(root)
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix not in (".yaml", ".yml"):
        _link(path, target)
        return
    config = load_yaml(path)
    files = [file for file in files_of(config) if Path(file).is_relative_to(root)]
    names = {file: str(Path(file).relative_to(root)) for file in files}
    for file, name in names.items():
        (staging / name).parent.mkdir(parents=True, exist_ok=True)
        if not (staging / name).exists():
            _link(Path(file), staging / name)
    write_yaml(target, _with_paths(config, names, lambda file: names[file]))


def load_yaml(path: Path) -> dict[str, Any]:
    """Read a config that need not have an encoder, such as a language model's."""
    import yaml

    return yaml.safe_load(path.read_text(encoding="utf-8")) or {}


def _link(source: Path, target: Path) -> None:
    """Put a file into a second place, without a copy where that is possible."""
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copy(source, target)


def _pack(
    staging: Path, target: Path, model_name: str, source: Source, tag: str
) -> None:
    from espnet2.main_funcs.pack_funcs import pack

    config_name, checkpoint_name = file_names(source.task)
    root = source.root or Path()
    others = {n: str(path.relative_to(root)) for n, path in source.others.items()}
    yamls = {n: f for n, f in others.items() if f.endswith((".yaml", ".yml"))}
    top = Path("exp", tag)
    with _inside(staging), contextlib.redirect_stdout(io.StringIO()):
        named = {"config.yaml", model_name}
        known = {*yamls.values(), *others.values()}
        more = [
            str(path)
            for path in sorted(Path().rglob("*"))
            if path.is_file()
            and not (path.parent == top and path.name in named)
            and str(path) not in known
        ]
        pack(
            files={
                checkpoint_name: str(top / model_name),
                **{n: f for n, f in others.items() if n not in yamls},
            },
            yaml_files={config_name: str(top / "config.yaml"), **yamls},
            option=more,
            outpath=target.absolute(),
        )


@contextlib.contextmanager
def _inside(directory: Path) -> Iterator[None]:
    """Work in another directory: ``pack`` names files as seen from the current one."""
    before = os.getcwd()
    os.chdir(directory)
    try:
        yield
    finally:
        os.chdir(before)


def _check(packed: Path, task: str, work: Path) -> None:
    """Open the packed file as a stranger would."""
    from espnet2.main_funcs.pack_funcs import unpack

    with tempfile.TemporaryDirectory(dir=work, prefix="check.") as directory:
        parts = unpack(packed, Path(directory).absolute(), use_cache=False)
        config_file, model_file = (Path(parts[name]) for name in file_names(task))
        open_model(task, config_file, model_file)
