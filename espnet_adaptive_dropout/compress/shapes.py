"""Shape files of data, as ESPnet's stage 10 collects them for a training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tqdm import tqdm

from espnet_adaptive_dropout.compress.written import Written
from espnet_adaptive_dropout.experiments.data import labelled_batches
from espnet_adaptive_dropout.experiments.files import write_text


def shape_files(task: type[Any], config: dict[str, Any], data: Written) -> list[str]:
    """Write a shape file for the audio and for every text of a data directory.

    Files of an earlier run are taken.

    Args:
        task: ESPnet task class.
        config: training config; says how text becomes tokens.
        data: the data directory, with texts.

    Returns:
        Their paths, in the order of ``data.triplets``.

    Raises:
        ValueError: the data cannot be read.
    """
    names = [name for _, name, _ in data.triplets]
    paths = {name: data.directory / f"{name}_shape" for name in names}
    if not all(path.exists() for path in paths.values()):
        lines: dict[str, list[str]] = {name: [] for name in names}
        batches = labelled_batches(task, config, data.triplets, batch_size=1)
        bar = tqdm(batches, "shapes", data.utterances, unit="utt", leave=False)
        for (key,), batch in bar:
            for name in names:
                shape = [int(batch[f"{name}_lengths"][0]), *batch[name].shape[2:]]
                if name.startswith("text"):  # as asr.sh adds the number of tokens
                    shape.append(len(config["token_list"]))
                lines[name].append(f"{key} {','.join(map(str, shape))}\n")
        for name, path in paths.items():
            write_text(path, "".join(lines[name]))
    return [str(path) for path in paths.values()]


def sizes(path: str | Path) -> list[int]:
    """Return the number of values of each utterance in a shape file."""
    found = []
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        size = 1
        for value in line.split()[1].split(","):
            size *= int(value)
        found.append(size)
    return found
