"""The way to the smaller model with a short training."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from espnet_adaptive_dropout.compress.audio import Utterances
from espnet_adaptive_dropout.compress.cut import (
    Way,
    check_bound,
    cut_as_planned,
)
from espnet_adaptive_dropout.compress.length import Length
from espnet_adaptive_dropout.compress.recognise import Recogniser
from espnet_adaptive_dropout.compress.selection import hold_out
from espnet_adaptive_dropout.compress.short_training import derived_config, with_data
from espnet_adaptive_dropout.compress.train_command import train
from espnet_adaptive_dropout.compress.work import TRAINING
from espnet_adaptive_dropout.experiments.experiment import load_task
from espnet_adaptive_dropout.experiments.files import write_yaml
from espnet_adaptive_dropout.pruning.open_trained import open_trained
from espnet_adaptive_dropout.pruning.write import share_images


class ShortTraining(Way):
    """Gates are trained on the model, which teaches; then units are cut."""

    def check(self) -> None:
        """Refuse what the training would refuse, before any work is done.

        Raises:
            ValueError: the target is above what the locations can give.
        """
        source, of = self.source, self.options.cut.of
        if of == "decoder":
            raise ValueError(
                "--of decoder: the short training is for the encoder, or for both "
                "(--of model); --train none cuts the decoder alone"
            )
        trained = open_trained(
            source.config_file, source.model_file, source.task, of=of
        )
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
            of=None,
            criterion="retention",
            criterion_conf={},
            data=audio,
            repair=False,
        )
        report = cut_as_planned(trained, options, partial, self)
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
        number = self.data["train"].utterances
        self.say(
            f"training: {length.passes:g} passes through {number} utterances, "
            f"{length.steps:,} batches, learning rate up to "
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
