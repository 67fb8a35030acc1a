"""The way to the smaller model with a short training after the cut."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from espnet_adaptive_dropout.compress.audio import Utterances
from espnet_adaptive_dropout.compress.cut import WithoutTraining
from espnet_adaptive_dropout.compress.length import Length
from espnet_adaptive_dropout.compress.recognise import Recogniser
from espnet_adaptive_dropout.compress.selection import hold_out
from espnet_adaptive_dropout.compress.short_training import derived_config, with_data
from espnet_adaptive_dropout.compress.train_command import train
from espnet_adaptive_dropout.compress.work import TRAINING
from espnet_adaptive_dropout.experiments.experiment import (
    load_config,
    load_task,
    open_model,
)
from espnet_adaptive_dropout.experiments.files import write_json, write_yaml

# Directory of the small model before its training, in the work directory
_CUT = "cut"


class ShortTraining(WithoutTraining):
    """Units are cut and the weights repaired; then the original model teaches."""

    def check(self) -> None:
        """Refuse what the cut or the training would refuse, before any work is done.

        Raises:
            ValueError: see :meth:`WithoutTraining.check`; or the model was trained
                with adaptive dropout, so that it cannot teach.
        """
        if self._trained(None).is_adaptive:
            raise ValueError(
                f"{self.source.name}: was trained with adaptive dropout; 'adaprune "
                f"prune' cuts it, or --train none to another size"
            )
        super().check()

    def prepare(self, pool: Utterances, recogniser: Recogniser) -> dict[str, Any]:
        """Label the audio, and hold validation data out."""
        train_part, valid_part = hold_out(pool, seed=1)
        self.audio, new = self.label(train_part, "train", recogniser)
        self.validation, more = self.label(valid_part, "valid", recogniser)
        number = self.audio.utterances + self.validation.utterances
        return {"utterances": number, "labelled_by_model": new + more}

    def cut(self, partial: Path) -> dict[str, Any]:
        """Cut and repair, then train on.

        Args:
            partial: directory for the experiment.

        Returns:
            The report of pruning, and ``training``: its length.
        """
        small = self.work / _CUT
        if not small.exists():  # else an earlier run has made it
            unfinished = self.work / f".{_CUT}"
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            super().cut(unfinished)
            unfinished.rename(small)
        experiment = self.work / TRAINING
        length = self._train(experiment, small)
        shutil.copytree(small, partial, dirs_exist_ok=True)
        model_file = _model_file(partial)
        shutil.copyfile(_average(experiment), model_file)
        open_model(self.source.task, partial / "config.yaml", model_file)
        report = json.loads((partial / "report.json").read_text(encoding="utf-8"))
        report["certificate"]["trained_afterwards"] = True
        write_json(partial / "certificate.json", report["certificate"])
        write_json(partial / "report.json", report)
        training = {
            "passes": length.passes,
            "steps": length.steps,
            "updates": length.updates,
        }
        return {**report, "training": training}

    def _train(self, experiment: Path, small: Path) -> Length:
        """Train the small model, if it was not done by an earlier run."""
        options, config = self.options, self.config
        task: Any = load_task(self.source.task)
        derived = derived_config(
            config,
            task,
            load_config(small / "config.yaml"),
            _model_file(small),
            self.source.model_file,
        )
        data = {"train": self.audio, "valid": self.validation}
        new, length = with_data(derived, task, config, data, options.epochs)
        taught = "teacher" in new["encoder_conf"]
        self.say(
            f"training: {length.passes:g} passes through {self.audio.utterances} "
            f"utterances, {length.steps:,} batches, learning rate up to "
            f"{new['optim_conf']['lr']:.1e}" + ("" if taught else ", without a teacher")
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


def _model_file(directory: Path) -> Path:
    return next(directory.glob("*.pth"))


def _average(experiment: Path) -> Path:
    """Return the averaged checkpoint of a finished training."""
    found = sorted(experiment.glob("valid.*.ave.pth"))
    if not found:
        raise ValueError(
            f"{experiment}: the training ended without an averaged checkpoint; see "
            f"{experiment / 'train.log'}"
        )
    return found[0]
