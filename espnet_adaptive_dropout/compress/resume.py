"""Makes a training that was killed fit to be resumed.

ESPnet writes its checkpoint, and then the model of the epoch, over the final names. A
training that is killed meanwhile leaves a part of a file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Callable

from espnet_adaptive_dropout.experiments.checkpoint import write_weights
from espnet_adaptive_dropout.experiments.experiment import load_checkpoint

CHECKPOINT = "checkpoint.pth"


def make_resumable(experiment: Path, say: Callable[[str], None]) -> None:
    """Remove a checkpoint that cannot be read, and complete the models of a sound one.

    Without its checkpoint a training begins again: the models of the epochs have no
    state of the optimizer. With a sound one the model of its epoch can be missing,
    whose weights are in the checkpoint.

    Args:
        experiment: directory of a training that may have been interrupted.
        say: is called with a line if there was a training.

    Raises:
        OSError: a file cannot be written or removed.
    """
    checkpoint = experiment / CHECKPOINT
    if not checkpoint.exists():
        return
    try:
        content = load_checkpoint(checkpoint)
    except ValueError:
        say(
            "the training was interrupted while ESPnet wrote its checkpoint, which "
            "cannot be read: it begins again"
        )
        for file in experiment.glob("*.pth"):
            file.unlink()
        return
    epoch = content["reporter"]["epoch"]
    say(f"the training was interrupted: it goes on after epoch {epoch}")
    last = experiment / f"{epoch}epoch.pth"
    if not _is_sound(last):
        write_weights(content["model"], last)


def _is_sound(model_file: Path) -> bool:
    try:
        load_checkpoint(model_file)
    except ValueError:
        return False
    return True
