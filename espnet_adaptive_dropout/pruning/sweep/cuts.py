"""The models of a sweep: one checkpoint cut to each size, in a directory each."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any, Callable

import torch

from espnet_adaptive_dropout.experiments.experiment import build_model, open_model
from espnet_adaptive_dropout.experiments.files import new_directory
from espnet_adaptive_dropout.experiments.sizes import sizes
from espnet_adaptive_dropout.pruning.options import PruneOptions
from espnet_adaptive_dropout.pruning.plan import PruningPlan
from espnet_adaptive_dropout.pruning.prune import (
    Ranking,
    compact_config,
    plan_units,
    rank,
)
from espnet_adaptive_dropout.pruning.sweep.reuse import (
    digest,
    read_result,
    write_result,
)
from espnet_adaptive_dropout.pruning.trained import Trained
from espnet_adaptive_dropout.pruning.write import FORMER, PLAN, write_experiment

SOURCES = "made_from.json"
TRAINED = "trained"


@dataclasses.dataclass
class SizedModel:
    """A model of a sweep, which is one row of its table.

    Args:
        name: name of the row and of its directory.
        directory: directory for the scores.
        config_file: config.yaml of the experiment.
        model_file: checkpoint of the experiment.
        sources: digests and options that identify the model.
        facts: ``target_reduction`` (None: not cut), ``reduction``, and the sizes of
            :func:`experiments.sizes.sizes`.
        load: returns config and model, in evaluation mode.
    """

    name: str
    directory: Path
    config_file: Path
    model_file: Path
    sources: dict[str, Any]
    facts: dict[str, Any]
    load: Callable[[], tuple[dict[str, Any], torch.nn.Module]]


def row_name(target: float) -> str:
    """Return the name of the row of a target, "r30" for 0.3."""
    return f"r{100 * target:.6g}"


@dataclasses.dataclass
class Cutter:
    """Cuts a trained model to many sizes; cuts of an earlier run are kept.

    Args:
        trained: trained experiment.
        train_config: path of the training config.
        options: options of the cuts; their target is replaced.
        output_dir: directory of the sweep.
    """

    trained: Trained
    train_config: Path
    options: PruneOptions
    output_dir: Path

    @functools.cached_property
    def checkpoint(self) -> dict[str, str]:
        """Digests of the checkpoint and its config."""
        return {
            "model_file": digest(self.trained.model_file),
            "train_config": digest(self.train_config),
        }

    @functools.cached_property
    def ranking(self) -> Ranking:
        """The ranking of all units, which every cut follows."""
        return rank(self.trained, self.options)

    def as_trained(self) -> SizedModel:
        """Return the model before any cut, with the masks that it was trained to."""
        counted, keep = self.trained.counted, self.trained.own_keep()
        model = self.trained.model
        if not keep.all():
            config = compact_config(self.trained, keep)
            model = build_model(self.trained.task, config)
        directory = self.output_dir / TRAINED
        directory.mkdir(parents=True, exist_ok=True)
        return SizedModel(
            TRAINED,
            directory,
            self.train_config,
            self.trained.model_file,
            self.checkpoint,
            {
                "target_reduction": None,
                "reduction": counted.table.reduction(keep[counted.span]),
                **sizes(model),
            },
            lambda: (self.trained.config, self.trained.as_trained()),
        )

    def cut_all(
        self, targets: list[float], say: Callable[[str], None]
    ) -> list[SizedModel]:
        """Cut to every target, in order of size.

        Args:
            targets: shares to remove.
            say: is called with a line about each cut.

        Raises:
            ValueError: a target is above the bound (before anything is written), a
                certificate does not hold, or a directory is not from a sweep.
        """
        targets = sorted(set(targets))
        plans = {t: self._plan(t) for t in targets if self._kept(t) is None}
        for target in targets:
            name = row_name(target)
            if target not in plans:
                say(f"{name}: kept from an earlier run")
                continue
            reduction = self._cut(target, *plans.pop(target))
            say(f"{name}: {reduction:.2%} of the {self.trained.of} removed")
        return [self._row(target) for target in targets]

    def _sources(self, target: float) -> dict[str, Any]:
        options = dataclasses.asdict(self.options)
        del options["allow_unfrozen"]  # changes no result
        return {**self.checkpoint, **options, "target_reduction": target}

    def _kept(self, target: float) -> dict[str, Any] | None:
        """Return the facts of an earlier cut from the same checkpoint and options."""
        directory = self.output_dir / row_name(target)
        if not (directory / self.trained.model_file.name).exists():
            return None
        return read_result(directory / SOURCES, self._sources(target))

    def _plan(self, target: float) -> tuple[torch.Tensor, PruningPlan]:
        options = dataclasses.replace(self.options, target_reduction=target)
        return plan_units(self.trained, self.ranking, options)

    def _cut(self, target: float, keep: torch.Tensor, plan: PruningPlan) -> float:
        path = self.output_dir / row_name(target)
        with new_directory(path, PLAN, FORMER) as partial:
            options = self.options
            report = write_experiment(self.trained, keep, plan, options, partial, path)
            facts = {
                "target_reduction": target,
                "reduction": plan.reduction,
                **report["after"],
            }
            write_result(partial / SOURCES, self._sources(target), facts)
        return plan.reduction

    def _row(self, target: float) -> SizedModel:
        directory = self.output_dir / row_name(target)
        config_file = directory / "config.yaml"
        model_file = directory / self.trained.model_file.name
        facts = read_result(directory / SOURCES, self._sources(target)) or {}
        return SizedModel(
            row_name(target),
            directory,
            config_file,
            model_file,
            self._sources(target),
            facts,
            lambda: open_model(self.trained.task, config_file, model_file),
        )
