"""Data of an experiment, read with ESPnet's own preprocessing and batching."""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from espnet_adaptive_dropout.experiments.experiment import first_line
from espnet_adaptive_dropout.experiments.tables import read_table

Triplet = tuple[str, str, str]
Batch = dict[str, torch.Tensor]


def as_triplet(item: Any) -> Triplet:
    """Parse "path,name,type", or a list of the three.

    Raises:
        ValueError: ``item`` is neither.
    """
    parts = item.split(",") if isinstance(item, str) else item
    if not isinstance(parts, (list, tuple)) or len(parts) != 3 or not all(parts):
        raise ValueError(
            f"{item!r} is not PATH,NAME,TYPE, for example "
            f"dump/raw/dev/wav.scp,speech,sound"
        )
    path, name, kind = map(str, parts)
    return path, name, kind


def triplets(
    given: Sequence[Any] | None, config: dict[str, Any], part: str, option: str
) -> list[Triplet]:
    """Return the data to read, as triplets.

    Args:
        given: "path,name,type" strings or lists of the three; None or empty takes
            the data of the config.
        config: training config.
        part: "train" or "valid": the data of the config to take.
        option: name of the option that sets ``given``, for messages.

    Raises:
        ValueError: there are no data, or one item is not a triplet.
    """
    chosen = given or config.get(f"{part}_data_path_and_name_and_type") or []
    if not isinstance(chosen, (list, tuple)):
        raise ValueError(f"{option}: {chosen!r} is not a list of PATH,NAME,TYPE")
    found = [as_triplet(item) for item in chosen]
    if not found:
        raise ValueError(f"the config names no {part} data: pass {option}")
    return found


def labelled_batches(
    task: type[Any],
    config: dict[str, Any],
    source: list[Triplet],
    batch_size: int,
    utterances: int | None = None,
    seed: int = 0,
) -> Iterator[tuple[list[str], Batch]]:
    """Yield batches of speech and text as the model's forward takes them.

    Args:
        task: ESPnet task class.
        config: training config; says how text becomes tokens.
        source: triplets of speech and text.
        batch_size: number of utterances in a batch.
        utterances: number of utterances to choose at random; None takes all, in order.
        seed: seed of the random choice.

    Yields:
        Names of the utterances and tensors, as ESPnet's own iterators.

    Raises:
        ValueError: the data cannot be read, or lack what the task needs.
    """
    args = argparse.Namespace(**config)
    with tempfile.NamedTemporaryFile("w", suffix=".scp", encoding="utf-8") as keys:
        try:
            if utterances is not None:
                keys.writelines(choose_names(source[0][0], utterances, seed))
                keys.flush()
            yield from task.build_streaming_iterator(
                source,
                preprocess_fn=task.build_preprocess_fn(args, False),
                collate_fn=task.build_collate_fn(args, False),
                key_file=None if utterances is None else keys.name,
                batch_size=batch_size,
                dtype="float32",
                num_workers=0,
            )
        except (OSError, RuntimeError, AssertionError) as error:
            raise ValueError(
                f"{', '.join(path for path, _, _ in source)}: cannot be read as "
                f"speech and text ({first_line(error)})"
            ) from None


def choose_names(path: str, utterances: int, seed: int) -> list[str]:
    """Choose utterances of a Kaldi table; one name a line, in the table's order."""
    names = [f"{name}\n" for name in read_table(path)]
    if utterances < len(names):
        chosen = random.Random(seed).sample(range(len(names)), utterances)
        names = [names[index] for index in sorted(chosen)]
    return names
