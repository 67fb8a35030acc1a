"""Histograms of the retention probabilities over a training, as TensorBoard events.

They lie beside ESPnet's own event files, so that ``tensorboard --logdir
exp/asr_x/tensorboard`` shows both; ``history_reader`` reads them back.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch

from espnet_adaptive_dropout.units.table import UnitTable

# Edges of the histogram's bins, the same for all.
EDGES = np.linspace(0.0, 1.0, 51)
# Tag of the histogram over all locations, among those named after locations.
OVERALL = "all"
TAG = "retention_probability/"


def history_directory(output_dir: str | Path, kind: str = "encoder") -> Path:
    """Where the histograms of a training lie.

    Args:
        output_dir: directory of the training.
        kind: "encoder" or "decoder".
    """
    name = "retention" if kind == "encoder" else f"retention_{kind}"
    return Path(output_dir) / "tensorboard" / name


class RetentionHistory:
    """Writes a histogram for every location some hundred times in a training.

    Only the first process of a distributed training writes. The event file is opened
    at the first histogram, in the process that trains; copies and pickles of the
    object do not have it. A resumed training replaces what was written after its
    checkpoint. Nothing here ends a training: without the tensorboard package, or
    where the file cannot be written, one warning is logged and the history is off.

    Args:
        directory: output directory of the training; see :func:`history_directory`.
        total_steps: training steps of the whole run.
        times: number of histograms to write in a training, approximately.
        kind: whose probabilities they are of, "encoder" or "decoder".
    """

    def __init__(
        self,
        directory: str | Path,
        total_steps: int,
        times: int = 100,
        kind: str = "encoder",
    ):
        self.directory = history_directory(directory, kind)
        self.total_steps = int(total_steps)
        self.interval = max(1, self.total_steps // times)
        self._writer: Any = None
        self._first_step: int | None = None
        self._off = False

    def record(self, step: int, table: UnitTable) -> None:
        """Write the histograms if it is time; costs nothing in other steps.

        Args:
            step: number of the training step, from 1.
            table: unit table of the encoder.
        """
        if self._first_step is None:
            self._first_step = step
        if not self._due(step) or self._off or not _is_first_process():
            return
        try:
            writer = self._open()
            for name, values in retention_by_location(table).items():
                _add_histogram(writer, name, values, step)
            writer.flush()
        except ImportError:
            self._switch_off("the tensorboard package is not installed")
        except OSError as error:
            self._switch_off(f"{self.directory}: {error.strerror or error}")

    def _due(self, step: int) -> bool:
        return step % self.interval == 0 or step in (1, self.total_steps)

    def _open(self) -> Any:
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(
                str(self.directory), purge_step=self._first_step
            )
        return self._writer

    def _switch_off(self, reason: str) -> None:
        self._off = True
        logging.warning(f"no histograms of the retention probabilities: {reason}")

    def __getstate__(self) -> dict[str, Any]:
        # What copy and pickle take: an open file belongs to one process and object.
        return {**self.__dict__, "_writer": None, "_first_step": None}


@torch.no_grad()
def retention_by_location(table: UnitTable) -> dict[str, np.ndarray]:
    """Retention probabilities of the gated units, all blocks together.

    Returns:
        For each gated location, and for OVERALL, an array (units,).
    """
    groups = table.gated_groups()
    probabilities = torch.sigmoid(table.logits().float()).cpu().numpy()
    bounds = np.cumsum([group.num_units for group in groups])[:-1]
    parts: dict[str, list] = {}
    for group, part in zip(groups, np.split(probabilities, bounds)):
        parts.setdefault(group.location, []).append(part)
    found = {name: np.concatenate(values) for name, values in parts.items()}
    return {**found, OVERALL: probabilities}


def _is_first_process() -> bool:
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()):
        return True
    return distributed.get_rank() == 0


def _add_histogram(writer: Any, name: str, values: np.ndarray, step: int) -> None:
    # Raw: every bin is written, also an empty one, so that all steps have the same.
    values = values.astype(np.float64)
    counts, _ = np.histogram(values, bins=EDGES)
    writer.add_histogram_raw(
        TAG + name,
        min=values.min(),
        max=values.max(),
        num=len(values),
        sum=values.sum(),
        sum_squares=np.square(values).sum(),
        bucket_limits=EDGES[1:].tolist(),
        bucket_counts=counts.tolist(),
        global_step=step,
    )
