"""Command lines of the steps that a run consists of."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import Any

from benchmarks.compare import configs
from benchmarks.compare.configs import Settings
from benchmarks.compare.corpus import Corpus
from benchmarks.compare.runs import PARTS

TRAIN = "espnet2.bin.asr_train"
PRUNE = "espnet_adaptive_dropout.bin.prune"
STEPS = "benchmarks.models.steps"


@dataclasses.dataclass(frozen=True)
class Step:
    """One command, or one copy.

    Args:
        name: name of its log and of the file that marks it as done.
        module: run as ``python -m espnet_adaptive_dropout -m <module> <args>``;
            empty: copy ``args[0]`` to ``args[1]``.
        args: its arguments.
    """

    name: str
    module: str
    args: tuple[str, ...]

    def command(self) -> str:
        """The command line, quoted for a shell."""
        words = ["cp"]
        if self.module:
            words = ["python3", "-m", "espnet_adaptive_dropout", "-m", self.module]
        return shlex.join([*words, *self.args])


@dataclasses.dataclass
class Task:
    """Consecutive steps of one run.

    Args:
        name: "seed1/ours".
        directory: directory of the run; the parts of the dense training share one.
        needs: names of tasks that must be done before.
        steps: what to do.
        cost: number of training steps, for the estimate of the time left.
    """

    name: str
    directory: Path
    needs: list[str]
    steps: list[Step]
    cost: int

    def mark(self, step: Step) -> Path:
        """The file that marks a step as done."""
        return self.directory / "done" / f"{step.name}.json"

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return all(self.mark(step).exists() for step in self.steps)


class Commands:
    """Makes the steps of the runs of one seed.

    Args:
        settings: settings of the comparison.
        corpus: the data.
        seed: seed of all trainings.
    """

    def __init__(self, settings: Settings, corpus: Corpus, seed: int):
        self.settings = settings
        self.corpus = corpus
        self.seed = seed
        self.root = settings.exp / f"seed{seed}"
        self.dense_config = self.root / "dense/train/config.yaml"
        self.dense_run = self.root / "dense/run.yaml"

    def saved(self, part: int) -> Path:
        """The dense training's checkpoint after ``part``."""
        return self.root / f"dense/part{part}.pth"

    def keep(self, part: int) -> Step:
        """Copy that checkpoint before the training overwrites it."""
        checkpoint = self.root / "dense/train/checkpoint.pth"
        return Step(f"keep_{part}", "", (str(checkpoint), str(self.saved(part))))

    def train(self, config: Path, output: Path, end: int = PARTS) -> Step:
        """Train, or resume a training, up to checkpoint ``end``."""
        arguments = [
            *self.corpus.training_arguments(),
            *("--config", str(config), "--output_dir", str(output)),
            *("--max_epoch", str(end), "--resume", "true"),
            *("--multiprocessing_distributed", "false"),
            *self.settings.train_args,
        ]
        return Step(f"{output.name}_{end}", TRAIN, tuple(arguments))

    def cut(
        self,
        name: str,
        source: Path,
        target: float,
        criterion: str | None = None,
        number: int = 1,
        distillation: float | None = None,
        **options: str,
    ) -> list[Step]:
        """Prune the full-width checkpoint ``source`` in mid-training.

        The training's state is carried over, so that ``train<number>`` resumes as if
        nothing but the widths had changed.

        Args:
            name: run.
            source: checkpoint of full width.
            target: share of the encoder to remove.
            criterion: criterion of pruning; None: magnitude of the units that earlier
                cuts have left.
            number: number of the cut, from 1.
            distillation: weight of what ``source`` then teaches; None: nothing.
            **options: more options of ``bin.prune``.
        """
        directory = self.root / name
        cut = directory / f"cut{number}"
        pruning = dict(
            train_config=self.dense_config,
            model_file=source,
            target_reduction=round(target, 4),
            output_dir=cut,
        )
        if criterion is None:
            prune = _step(f"prune{number}", STEPS, pruning, "prune_again")
        else:
            pruning.update(criterion=criterion, **options)
            prune = _step(f"prune{number}", PRUNE, pruning)
        carrying: dict[str, Any] = dict(
            checkpoint=source,
            train_config=self.dense_config,
            cut_dir=cut,
            run_config=self.dense_run,
            new_run_config=directory / f"run{number}.yaml",
            new_checkpoint=directory / f"train{number}/checkpoint.pth",
        )
        if distillation is not None:
            carrying.update(distillation=distillation)
        return [prune, _step(f"carry{number}", STEPS, carrying, "carry_over")]

    def add_gates(self, name: str, source: Path) -> Step:
        """Give the full-width checkpoint ``source`` gates in mid-training."""
        directory = self.root / name
        arguments = dict(
            checkpoint=source,
            train_config=self.dense_config,
            run_config=directory / "run.yaml",
            new_run_config=directory / "run1.yaml",
            new_checkpoint=directory / "train1/checkpoint.pth",
        )
        return _step("gates", STEPS, arguments, "add_gates")

    def widen(self, name: str, number: int, output: Path) -> Step:
        """Restore the full width of a pruned training, zeros where it was cut."""
        directory = self.root / name
        arguments = dict(
            checkpoint=directory / f"train{number}/checkpoint.pth",
            train_config=self.dense_config,
            cut_dir=directory / f"cut{number}",
            full_width=output,
        )
        return _step(f"widen{number}", STEPS, arguments, "widen")

    def torch_prune(self, name: str, source: Path, target: float) -> Step:
        """Prune the dense checkpoint with Torch-Pruning."""
        arguments = dict(
            train_config=self.dense_config,
            checkpoint=source,
            run_config=self.dense_run,
            target_reduction=target,
            output_dir=self.root / name,
        )
        return _step("cut", STEPS, arguments, "torch_prune")

    def prune_and_score(
        self, name: str, train: Path, config: dict[str, Any], target: float
    ) -> list[Step]:
        """Prune a training with adaptive dropout and score the pruned model."""
        best = configs.best_checkpoint(config)
        compact = self.root / name / "compact"
        arguments = dict(
            train_config=train / "config.yaml",
            model_file=train / best,
            target_reduction=round(target, 4),
            output_dir=compact,
        )
        return [_step("prune", PRUNE, arguments), self.score(name, compact, best)]

    def score(self, name: str, directory: Path, model: str) -> Step:
        """Decode all sets with a model and write the run's result."""
        arguments = dict(
            train_config=directory / "config.yaml",
            model_file=directory / model,
            sets=self.settings.exp / "sets.json",
            valid=self.corpus.valid,
            output=self.root / name / "result.json",
        )
        return _step("score", STEPS, arguments, "score")


def _step(name: str, module: str, arguments: dict[str, Any], *command: str) -> Step:
    words = [w for key, value in arguments.items() for w in (f"--{key}", str(value))]
    return Step(name, module, (*command, *words))
