"""Turns runs into tasks: chains of commands, with the tasks that they need first."""

from __future__ import annotations

import shlex
from pathlib import Path

from benchmarks import ROOT
from benchmarks.compare import configs
from benchmarks.compare.commands import Commands, Step, Task
from benchmarks.compare.corpus import Corpus
from benchmarks.compare.rows import all_runs
from benchmarks.compare.runs import (
    PARTS,
    SHARE_OF_BOUND,
    Run,
    cubic_rounds,
    prune_part,
)
from benchmarks.files import write_text

# Time of starting, pruning and scoring as a number of training steps, estimated
FIXED_COST = 150


class Planner:
    """Makes the tasks of one seed.

    Args:
        settings: settings of the comparison.
        corpus: the data.
        seed: seed of all trainings.
    """

    def __init__(self, settings: configs.Settings, corpus: Corpus, seed: int):
        self.settings = settings
        self.seed = seed
        self.commands = Commands(settings, corpus, seed)
        self.root = self.commands.root
        self.dense = configs.dense_config(settings, seed)
        self.notes: list[str] = []

    def tasks(self, runs: list[Run]) -> list[Task]:
        """Tasks of the runs and of the runs that they need.

        Raises:
            ValueError: a run cannot be made, or was made with another config.
        """
        every = {run.name: run for run in all_runs()}
        runs = [run for run in runs if self._is_possible(run)]
        wanted = [run for run in runs if run.kind != "dense"]
        for run in list(wanted):
            parent = every.get(run.options.get("of", ""))
            if parent is not None and parent not in wanted:
                wanted.insert(wanted.index(run), parent)
        tasks = [
            *self._dense(score="dense" in {run.name for run in runs}),
            *(getattr(self, f"_{run.kind}")(run) for run in wanted),
        ]
        names = {self._name(run.name) for run in [*runs, *wanted]}
        names = _closure(tasks, names)
        tasks = [task for task in tasks if task.name in names]
        for directory in {task.directory for task in tasks}:
            self._write_commands(directory, tasks)
        return tasks

    def _is_possible(self, run: Run) -> bool:
        """Whether the stock model has what a run prunes; if not, a note says so."""
        possible = configs.has_decoder(self.dense) or not configs.prunes_decoder(
            run.options
        )
        if not possible:
            self.notes.append(
                f"{run.name}: left out, as it needs a --dense_config with a decoder"
            )
        return possible

    def _write_commands(self, directory: Path, tasks: list[Task]) -> None:
        """Write all commands of a run as a shell script."""
        recipe = self.settings.recipe_dir
        lines = [
            f"cd {shlex.quote(str(recipe))}",
            f"export PYTHONPATH={shlex.quote(str(ROOT))} OMP_NUM_THREADS=1",
        ]
        for task in tasks:
            if task.directory == directory:
                lines += [step.command() for step in task.steps]
        write_text(directory / "commands.sh", "\n".join(lines) + "\n")

    def _dense(self, score: bool) -> list[Task]:
        """The dense training, in the parts that end at prune points."""
        directory = self.root / "dense"
        configs.write_config(self.commands.dense_run, self.dense)
        tasks: list[Task] = []
        before = 0
        for part in [*prune_points(), PARTS]:
            name = self._name(f"dense@{part}" if part < PARTS else "dense")
            train = directory / "train"
            steps = [self.commands.train(self.commands.dense_run, train, part)]
            if part < PARTS:
                steps.append(self.commands.keep(part))
            elif score:
                steps.append(self._score("dense", "train"))
            needs = [tasks[-1].name] if tasks else []
            tasks.append(Task(name, directory, needs, steps, self._cost(part - before)))
            before = part
        return tasks

    def _gated(self, run: Run) -> Task:
        """Adaptive dropout, from the start or from a dense checkpoint on."""
        config = self._gated_config(run)
        directory = self.root / run.name
        configs.write_config(directory / "run.yaml", config)
        target = config["encoder_conf"]["adaptive_dropout_conf"]["target_reduction"]
        train = self._trained_in(run)
        cut_and_score = self.commands.prune_and_score(run.name, train, config, target)
        if run.at is None:
            steps = [self.commands.train(directory / "run.yaml", train), *cut_and_score]
            needs = [self._name("dense")] if "teacher" in run.options else []
            return self._task(run, needs, steps, PARTS)
        saved = self.commands.saved(prune_part(run.at))
        steps = [self.commands.add_gates(run.name, saved)]
        return self._continued(run, steps, cut_and_score)

    def _trained_in(self, run: Run) -> Path:
        """Directory of a training with adaptive dropout."""
        return self.root / run.name / ("train" if run.at is None else "train1")

    def _gated_config(self, run: Run) -> configs.Config:
        target = self._target(run)
        options = dict(gate_options(run))
        if options.get("teacher") == "dense":
            best = configs.best_checkpoint(self.dense)
            options["teacher"] = str(self.root / "dense/train" / best)
        if "locations" in options:
            bound = configs.bounds(self.dense, options["locations"])
            if target > bound:
                target = SHARE_OF_BOUND * bound
                self.notes.append(f"{run.name}: {target:.1%} of at most {bound:.1%}")
        return configs.gated_config(self.dense, target, options)

    def _recut(self, run: Run) -> Task:
        parent = next(other for other in all_runs() if other.name == run.options["of"])
        config = self._gated_config(parent)
        steps = self.commands.prune_and_score(
            run.name, self._trained_in(parent), config, self._target(run)
        )
        return self._task(run, [self._name(parent.name)], steps, 0)

    def _small(self, run: Run) -> Task:
        config, line = configs.small_config(self.dense, self._target(run))
        self.notes.append(line)
        return self._whole(run, config)

    def _stock(self, run: Run) -> Task:
        return self._whole(run, configs.changed(self.dense, run.options))

    def _whole(self, run: Run, config: configs.Config) -> Task:
        """A stock Conformer that is trained in one go."""
        directory = self.root / run.name
        configs.write_config(directory / "run.yaml", config)
        steps = [
            self.commands.train(directory / "run.yaml", directory / "train"),
            self._score(run.name, "train"),
        ]
        return self._task(run, [], steps, PARTS)

    def _cut(self, run: Run) -> Task:
        part = prune_part(run.at)
        options = dict(run.options)
        locations = options.pop("locations", None)
        distillation = options.pop("distillation", None)
        if options["criterion"] == "random":
            options["criterion_conf"] = f"seed={self.seed}"
        elif locations is not None:
            options["criterion_conf"] = f"locations=[{','.join(locations)}]"
        source = self.commands.saved(part)
        steps = self.commands.cut(
            run.name, source, self._target(run), distillation=distillation, **options
        )
        return self._continued(run, steps, [self._score(run.name, "train1")])

    def _gradual(self, run: Run) -> Task:
        rounds = cubic_rounds(self._target(run))
        starts = [part for part, _ in rounds]
        ends = [*starts[1:], PARTS]
        source = self.commands.saved(starts[0])
        steps: list[Step] = []
        for number, ((_, target), end) in enumerate(zip(rounds, ends), start=1):
            if number > 1:
                source = self.root / run.name / f"full{number}.pth"
                steps.append(self.commands.widen(run.name, number - 1, source))
            steps += self.commands.cut(run.name, source, target, number=number)
            steps.append(self._train_cut(run, number, end))
        steps.append(self._score(run.name, f"train{len(rounds)}"))
        needs = [self._name(f"dense@{starts[0]}")]
        return self._task(run, needs, steps, PARTS - starts[0])

    def _torch_pruning(self, run: Run) -> Task:
        part = prune_part(run.at)
        source = self.commands.saved(part)
        steps = [self.commands.torch_prune(run.name, source, self._target(run))]
        return self._continued(run, steps, [self._score(run.name, "train1")])

    def _continued(self, run: Run, change: list[Step], end: list[Step]) -> Task:
        """The dense training, changed at a checkpoint and trained to the end."""
        part = prune_part(run.at)
        steps = [*change, self._train_cut(run, 1, run.parts), *end]
        return self._task(run, [self._name(f"dense@{part}")], steps, run.parts - part)

    def _train_cut(self, run: Run, number: int, end: int) -> Step:
        directory = self.root / run.name
        return self.commands.train(
            directory / f"run{number}.yaml", directory / f"train{number}", end
        )

    def _score(self, name: str, train: str) -> Step:
        best = configs.best_checkpoint(self.dense)
        return self.commands.score(name, self.root / name / train, best)

    def _task(self, run: Run, needs: list[str], steps: list[Step], parts: int) -> Task:
        return Task(
            self._name(run.name), self.root / run.name, needs, steps, self._cost(parts)
        )

    def _cost(self, parts: int) -> int:
        return parts * self.settings.steps_per_part + FIXED_COST

    def _name(self, name: str) -> str:
        return f"seed{self.seed}/{name}"

    def _target(self, run: Run) -> float:
        return self.settings.target if run.target is None else run.target


def gate_options(run: Run) -> configs.Config:
    """``adaptive_dropout_conf`` of a run with gates; {} for any other."""
    if run.kind != "gated":
        return {}
    if run.at is None:
        return run.options
    return {**gates_after(prune_part(run.at) / run.parts), **run.options}


def gates_after(start: float) -> configs.Config:
    """The default schedule, compressed into the rest of a training."""
    from espnet_adaptive_dropout.control.config import AdaptiveDropoutConfig

    usual = AdaptiveDropoutConfig()
    rest = (1.0 - start) / (1.0 - usual.ramp_start)
    return dict(
        ramp_start=start,
        ramp_end=round(start + (usual.ramp_end - usual.ramp_start) * rest, 4),
        freeze_at=round(start + (usual.freeze_at - usual.ramp_start) * rest, 4),
    )


def prune_points() -> list[int]:
    """Checkpoints of the dense training from which some run goes on."""
    points = {prune_part(run.at) for run in all_runs() if run.at is not None}
    return sorted(points | {cubic_rounds(0.5)[0][0]})


def _closure(tasks: list[Task], names: set) -> set:
    """The named tasks and all that they need."""
    needs = {task.name: task.needs for task in tasks}
    waiting, closed = set(names), set()
    while waiting:
        name = waiting.pop()
        closed.add(name)
        waiting.update(set(needs.get(name, [])) - closed)
    return closed
