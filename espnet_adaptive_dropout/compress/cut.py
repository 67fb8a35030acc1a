"""The way to the smaller model without a training."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any, Callable

import torch

from espnet_adaptive_dropout.compress.audio import Utterances
from espnet_adaptive_dropout.compress.options import CompressOptions
from espnet_adaptive_dropout.compress.prepare import labelled
from espnet_adaptive_dropout.compress.recognise import Recogniser
from espnet_adaptive_dropout.compress.selection import chosen
from espnet_adaptive_dropout.compress.source import Source
from espnet_adaptive_dropout.compress.tasks import sampling_rate
from espnet_adaptive_dropout.compress.written import Written
from espnet_adaptive_dropout.experiments.encoder_entry import encoder_entry
from espnet_adaptive_dropout.experiments.experiment import first_line, load_config
from espnet_adaptive_dropout.pruning.criteria import criterion_choices
from espnet_adaptive_dropout.pruning.open_trained import open_trained
from espnet_adaptive_dropout.pruning.options import PruneOptions
from espnet_adaptive_dropout.pruning.prune import Ranking, plan_units, rank
from espnet_adaptive_dropout.pruning.trained import Trained
from espnet_adaptive_dropout.pruning.write import share_images, write_experiment
from espnet_adaptive_dropout.units.locations import expand

# Utterances to rank on: more of them improve a cut more than anything else tried.
RANKED = 512
# Utterances at a time times the width of the encoder, which memory grows with
BATCH_WIDTH = 768


@dataclasses.dataclass
class WithoutTraining:
    """Units are ranked on audio, cut, and the weights repaired.

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
            of=self.options.cut.of,
        )

    def _batch_size(self) -> int:
        """Return the utterances to rank on at a time: few in a wide model.

        The order is as good with one as with eight (divergence of the CTC posteriors
        of a toy model after the cut: 46.5 and 46.0 thousandths of a nat per frame).
        """
        encoder = encoder_entry(self.config).options(self.config)
        return max(1, min(8, BATCH_WIDTH // int(encoder.get("output_size", 256))))

    def cut(self, partial: Path) -> dict[str, Any]:
        """Rank, plan, cut, certify and repair, as ``adaprune prune`` does.

        Args:
            partial: directory for the experiment.

        Returns:
            The report of pruning.
        """
        data = [",".join(triplet) for triplet in self.audio.triplets]
        kind: Any = criterion_choices.get_class(self.options.cut.criterion)
        conf: dict[str, Any] = {"locations": self.options.locations}
        fields = {field.name: field.default for field in dataclasses.fields(kind)}
        if "data" in fields:
            conf["data"] = data
        if "batches" in fields:
            size = self.options.cut.criterion_conf.get("batch_size", self._batch_size())
            conf["batch_size"] = size
            conf["batches"] = max(1, min(RANKED, self.audio.utterances) // size)
        if "utterances" in fields:
            conf["utterances"] = min(RANKED, self.audio.utterances)
        options = dataclasses.replace(
            self.options.cut,
            criterion_conf={**conf, **self.options.cut.criterion_conf},
            data=data,
        )
        report = self._cut(data, options, partial)
        share_images(self.source.experiment, partial)
        return report

    def _cut(
        self, data: list[str], options: PruneOptions, partial: Path
    ) -> dict[str, Any]:
        """Rank, plan, cut and certify; see ``pruning.write.write_experiment``."""
        start = time.perf_counter()
        ranking = rank(self._trained(data), options)
        self.say(f"ranked by {options.criterion}: {time.perf_counter() - start:.1f} s")
        start = time.perf_counter()
        # Opened anew: what only the ranking has read leaves the memory.
        trained = self._trained(data)
        keep, plan = plan_units(trained, ranking, options)
        report = write_experiment(
            trained, keep, plan, options, partial, self.options.output_dir
        )
        self.say(
            f"cut{' and repaired' if options.repair else ''}: {report['reduction']:.2%}"
            f" of the {report['of']}'s parameters, {time.perf_counter() - start:.1f} s"
        )
        return report


def check_bound(trained: Trained, options: CompressOptions) -> None:
    """Refuse unknown locations, and a target above what they can give.

    Raises:
        ValueError: see above.
    """
    table = trained.table
    try:
        candidates = ~table.all_except(expand(options.locations))
    except ValueError as error:
        raise ValueError(f"--locations: {error}") from None
    scores = torch.arange(len(candidates)).float()
    try:
        plan_units(trained, Ranking(scores, candidates, True), options.cut)
    except ValueError as error:
        raise ValueError(f"--target_reduction: {first_line(error)}") from None
