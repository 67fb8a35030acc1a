"""Options of ``adaprune compress``."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from espnet_adaptive_dropout.pruning.options import PruneOptions


@dataclasses.dataclass
class CompressOptions:
    """Options of the command.

    Args:
        model: packed file, name of a published model, experiment directory, or
            config.yaml.
        data: directories of audio; none for the training data of an experiment.
        output_dir: directory of the result.
        cut: options of the cut; its data are those that are prepared here.
        model_file: checkpoint, where the model does not say it.
        task: name of a module of ``espnet2.tasks``; None finds it.
        train: "short", or "none".
        locations: names of locations to cut.
        held_out: share of the utterances to hold out, or a directory; None for the
            usual share.
        minutes: most minutes of audio to rank and to repair on, without a training.
        epochs: passes of the training through the data; None for the usual number.
        train_args: further options of ESPnet's training command.
        inference_config: ESPnet decoding config for the recognition.
        ngpu: number of GPUs to train on, of which one recognises and ranks.
        keep_work: leave the work directory.
    """

    model: str
    data: list[str]
    output_dir: Path
    cut: PruneOptions
    model_file: Path | None = None
    task: str | None = None
    train: str = "short"
    locations: list[str] = dataclasses.field(default_factory=lambda: ["all"])
    held_out: str | None = None
    minutes: float = 15.0
    epochs: float | None = None
    train_args: list[str] = dataclasses.field(default_factory=list)
    inference_config: Path | None = None
    ngpu: int = 0
    keep_work: bool = False

    @property
    def device(self) -> str:
        """Where models run."""
        return "cuda" if self.ngpu else "cpu"

    def settings(self) -> dict[str, Any]:
        """Return what the work of a run depends on, for JSON."""
        names = ["model", "model_file", "task", "data", "held_out", "inference_config"]
        values = {name: getattr(self, name) for name in (*names, "train")}
        if self.train != "none":
            for name in ("locations", "epochs", "train_args"):
                values[name] = getattr(self, name)
            cut = dataclasses.asdict(self.cut)
            values.update({name: cut[name] for name in cut if name != "data"})
        return json.loads(json.dumps(values, default=str))
