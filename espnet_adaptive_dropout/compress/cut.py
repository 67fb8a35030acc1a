"""The two ways to the smaller model: with a short training, and without one."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any, Callable

from espnet_adaptive_dropout.compress.audio import Utterances
from espnet_adaptive_dropout.compress.options import CompressOptions
from espnet_adaptive_dropout.compress.prepare import labelled
from espnet_adaptive_dropout.compress.recognise import Recogniser
from espnet_adaptive_dropout.compress.selection import chosen, hold_out
from espnet_adaptive_dropout.compress.short_training import (
    Length,
    derived_config,
    with_data,
)
from espnet_adaptive_dropout.compress.source import Source
from espnet_adaptive_dropout.compress.tasks import sampling_rate
from espnet_adaptive_dropout.compress.train_command import train
from espnet_adaptive_dropout.compress.work import TRAINING
from espnet_adaptive_dropout.compress.written import Written
from espnet_adaptive_dropout.experiments.experiment import (
    first_line,
    load_config,
    load_task,
)
from espnet_adaptive_dropout.experiments.files import write_yaml
from espnet_adaptive_dropout.pruning.criteria import criterion_choices
from espnet_adaptive_dropout.pruning.open_trained import open_trained
from espnet_adaptive_dropout.pruning.prune import (
    PruneOptions,
    Ranking,
    plan_units,
    rank,
)
from espnet_adaptive_dropout.pruning.trained import Trained
from espnet_adaptive_dropout.pruning.write import share_images, write_experiment

# Utterances to rank on
RANKED = 128


@dataclasses.dataclass
class Material:
    """What a way works with.

    Args:
        options: options of the command.
        source: the original model.
        work: work directory.
        say: is called with a line at every step.
    """

    options: CompressOptions
    source: Source
    work: Path
    say: Callable[[str], None]

    @property
    def config(self) -> dict[str, Any]:
        """Config of the original model."""
        return load_config(self.source.config_file)

    def label(
        self, utterances: Utterances, name: str, recogniser: Recogniser
    ) -> tuple[Written, int]:
        """Write utterances with labels; see ``prepare.labelled``."""
        directory = self.work / "data" / name
        written, new = labelled(
            utterances, directory, recogniser, sampling_rate(self.config)
        )
        self.say(f"labels: {written.utterances} utterances, {new} by the model")
        return written, new


class WithoutTraining(Material):
    """Units are ranked on audio, cut, and the weights repaired."""

    def prepare(self, pool: Utterances, recogniser: Recogniser) -> dict[str, Any]:
        """Choose and label the audio; return what the report says about it."""
        repaired = self.options.cut.repair_utterances
        number = max(RANKED, repaired + -(-repaired // 4))
        some = chosen(pool, number, self.options.minutes)
        self.audio, new = self.label(some, "calibration", recogniser)
        return {"utterances": self.audio.utterances, "labelled_by_model": new}

    def check(self) -> None:
        """Refuse what the cut would refuse, before any work is done.

        Raises:
            ValueError: the criterion needs a training, or the target is above what
                the locations can give.
        """
        cut = self.options.cut
        criterion = criterion_choices.get_class(cut.criterion)
        if not hasattr(criterion, "candidates"):
            raise ValueError(
                f"--criterion {cut.criterion}: needs gates that were trained; choose "
                f"taylor, magnitude or another that takes any model"
            )
        check_bound(self._trained(None), self.options)

    def _trained(self, data: list[str] | None) -> Trained:
        return open_trained(
            self.source.config_file,
            self.source.model_file,
            self.source.task,
            data,
            self.options.device,
        )

    def cut(self, partial: Path) -> dict[str, Any]:
        """Rank, plan, cut, certify and repair, as ``adaprune prune`` does.

        Args:
            partial: directory for the experiment.

        Returns:
            The report of pruning.
        """
        speech = [",".join(self.audio.speech)]
        kind: Any = criterion_choices.get_class(self.options.cut.criterion)
        conf: dict[str, Any] = {"locations": self.options.locations}
        if "data" in {field.name for field in dataclasses.fields(kind)}:
            conf["data"] = [",".join(triplet) for triplet in self.audio.triplets]
        options = dataclasses.replace(
            self.options.cut,
            criterion_conf={**conf, **self.options.cut.criterion_conf},
            data=speech,
        )
        trained = self._trained(speech)
        report = _cut(trained, options, partial, self)
        share_images(self.source.experiment, partial)
        return report


class ShortTraining(Material):
    """Gates are trained on the model, which teaches; then units are cut."""

    def check(self) -> None:
        """Refuse what the training would refuse, before any work is done.

        Raises:
            ValueError: the target is above what the locations can give.
        """
        source = self.source
        trained = open_trained(source.config_file, source.model_file, source.task)
        if trained.is_adaptive:
            raise ValueError(
                f"{source.name}: was trained with adaptive dropout; 'adaprune prune' "
                f"cuts it, or --train none to another size"
            )
        check_bound(trained, self.options)

    def prepare(self, pool: Utterances, recogniser: Recogniser) -> dict[str, Any]:
        """Label the audio, and hold validation data out."""
        train_part, valid_part = hold_out(pool, seed=1)
        audio, new = self.label(train_part, "train", recogniser)
        valid, more = self.label(valid_part, "valid", recogniser)
        self.data = {"train": audio, "valid": valid}
        number = audio.utterances + valid.utterances
        return {"utterances": number, "labelled_by_model": new + more}

    def cut(self, partial: Path) -> dict[str, Any]:
        """Train, then cut what the training chose, and certify.

        Args:
            partial: directory for the experiment.

        Returns:
            The report of pruning, and ``training``: its length.
        """
        experiment = self.work / TRAINING
        length = self._train(experiment)
        model_file = _average(experiment)
        audio = [",".join(self.data["valid"].speech)]
        trained = open_trained(
            experiment / "config.yaml", model_file, self.source.task, audio
        )
        options = dataclasses.replace(
            self.options.cut,
            target_reduction=None,
            criterion="retention",
            criterion_conf={},
            data=audio,
            repair=False,
        )
        report = _cut(trained, options, partial, self)
        share_images(experiment, partial)
        report["training"] = {
            "passes": length.passes,
            "steps": length.steps,
            "updates": length.updates,
        }
        return report

    def _train(self, experiment: Path) -> Length:
        """Train, if it was not done by an earlier run."""
        options, config = self.options, self.config
        task: Any = load_task(self.source.task)
        locations = options.locations
        adaptive = {
            **options.size_options(),
            "locations": locations[0] if len(locations) == 1 else locations,
        }
        derived = derived_config(config, task, self.source.model_file, adaptive)
        new, length = with_data(derived, task, config, self.data, options.epochs)
        self.say(
            f"training: {length.passes} passes through {self.data['train'].utterances} "
            f"utterances, {length.steps:,} batches, learning rate up to "
            f"{new['optim_conf']['lr']:.1e}"
            + ("" if "teacher" in _adaptive(new) else ", without a teacher")
        )
        warning = length.warning()
        if warning:
            self.say(warning)
        done = experiment / ".done"
        if not done.exists():
            config_file = self.work / "train.yaml"
            write_yaml(config_file, new)
            arguments = ["--ngpu", str(options.ngpu), *options.train_args]
            if options.ngpu > 1:
                arguments = ["--multiprocessing_distributed", "true", *arguments]
            train(
                self.source.task, config_file, experiment, length, arguments, self.say
            )
            done.touch()
        return length


def _adaptive(config: dict[str, Any]) -> dict[str, Any]:
    return config["encoder_conf"]["adaptive_dropout_conf"]


def _average(experiment: Path) -> Path:
    """Return the averaged checkpoint of a finished training."""
    found = sorted(experiment.glob("valid.final_*.ave.pth"))
    if not found:
        raise ValueError(
            f"{experiment}: the training ended without an averaged checkpoint; see "
            f"{experiment / 'train.log'}"
        )
    return found[0]


def check_bound(trained: Trained, options: CompressOptions) -> None:
    """Refuse unknown locations, and a target above what they can give.

    Raises:
        ValueError: see above.
    """
    import torch

    criterion: Any = criterion_choices.get_class("magnitude")
    candidates = criterion(locations=options.locations).candidates(trained.table)
    scores = torch.rand(trained.table.num_units)
    try:
        plan_units(trained, Ranking(scores, candidates, True), options.cut)
    except ValueError as error:
        raise ValueError(f"--target_reduction: {first_line(error)}") from None


def _cut(
    trained: Trained, options: PruneOptions, partial: Path, way: Material
) -> dict[str, Any]:
    start = time.perf_counter()
    keep, plan = plan_units(trained, rank(trained, options), options)
    report = write_experiment(
        trained, keep, plan, options, partial, way.options.output_dir
    )
    way.say(
        f"cut: {report['reduction']:.2%} of the encoder, "
        f"{time.perf_counter() - start:.1f} s"
    )
    return report
