"""How long the short training is, and how large its batches are."""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Mapping
from typing import Any

# Updates of a training whose length the user does not say, and passes through the data
USUAL_UPDATES, LEAST_PASSES, MOST_PASSES = 1000, 1.5, 50.0
# Updates with less of which a training can hardly make up for a cut
ENOUGH_UPDATES = 100
# Epochs, after each of which ESPnet validates and saves
EPOCHS, AVERAGED = 10, 3
# Smallest batch, and batches in a pass if the batch is at least so large
SMALLEST_BATCH, ENOUGH_BATCHES = 8, 100


@dataclasses.dataclass(frozen=True)
class Length:
    """The length of a training.

    Args:
        batches: batches in a pass through the data.
        passes: passes through the data.
        accum_grad: batches in an update.
    """

    batches: int
    passes: float
    accum_grad: int = 1

    @property
    def per_epoch(self) -> int:
        """Batches in an epoch, of which there are ``EPOCHS``."""
        return max(math.ceil(self.batches * self.passes / EPOCHS), 1)

    @property
    def steps(self) -> int:
        """Batches of the whole training."""
        return self.per_epoch * EPOCHS

    @property
    def updates(self) -> int:
        """Updates of the whole training."""
        return max(self.steps // self.accum_grad, 1)

    def warning(self) -> str | None:
        """Return that the training is too short; None if it is not."""
        if self.updates >= ENOUGH_UPDATES:
            return None
        return (
            f"warning: the training has {self.updates} updates, and with less than "
            f"{ENOUGH_UPDATES} it brings little: give more audio, more --epochs, or "
            f"smaller batches (--train_args)"
        )


def usual_passes(batches: int, accum_grad: int = 1) -> float:
    """Return the number of passes where the user does not say one.

    Args:
        batches: batches in a pass.
        accum_grad: batches in an update.
    """
    needed = math.ceil(10 * USUAL_UPDATES * accum_grad / batches) / 10
    return min(max(needed, LEAST_PASSES), MOST_PASSES)


def batch_options(config: Mapping[str, Any], speech_sizes: list[int]) -> dict[str, Any]:
    """Return the options of batches: those of the model's training, or smaller ones.

    Few data in large batches would be too few updates.

    Args:
        config: training config of the model.
        speech_sizes: values of each utterance of audio.
    """
    number, total = len(speech_sizes), sum(speech_sizes)
    size = max(number // ENOUGH_BATCHES, SMALLEST_BATCH)
    bins = max(total // ENOUGH_BATCHES, SMALLEST_BATCH * total // number)
    options: dict[str, Any] = {
        "batch_size": min(int(config.get("batch_size") or 20), size)
    }
    if config.get("batch_type") in ("numel", "length"):
        bins = min(int(config.get("batch_bins") or 1000000), bins)
        # A batch holds at least the longest utterance.
        return {
            "batch_type": "numel",
            "batch_bins": max(bins, int(1.1 * max(speech_sizes))),
        }
    kind = config.get("batch_type")
    return {**options, "batch_type": "unsorted" if kind == "unsorted" else "sorted"}


def batches_of(config: Mapping[str, Any], task: type[Any]) -> int:
    """Count the batches in a pass, with ESPnet's own sampler."""
    from espnet2.samplers.build_batch_sampler import build_batch_sampler

    args = argparse.Namespace(**{**vars(task.get_parser().parse_args([])), **config})
    sampler = build_batch_sampler(
        type=args.batch_type,
        shape_files=args.train_shape_file,
        batch_size=args.batch_size,
        batch_bins=args.batch_bins,
        fold_lengths=[],
        sort_in_batch=args.sort_in_batch,
        sort_batch=args.sort_batch,
        drop_last=args.drop_last_iter,
        min_batch_size=1,
    )
    return len(list(sampler))
