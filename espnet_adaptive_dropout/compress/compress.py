"""Makes an existing model smaller: from its name and audio to a packed result."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import Any, Callable

import torch

from espnet_adaptive_dropout.compress.measure import (
    Files,
    comparison,
    encoder_seconds,
)
from espnet_adaptive_dropout.compress.prepare import (
    labelled,
    material,
    references,
)
from espnet_adaptive_dropout.compress.recognise import Recogniser, Recognition
from espnet_adaptive_dropout.compress.report import to_markdown
from espnet_adaptive_dropout.compress.result import complete
from espnet_adaptive_dropout.compress.selection import chosen
from espnet_adaptive_dropout.compress.source import Source, open_source
from espnet_adaptive_dropout.compress.tasks import (
    check_task,
    inference_options,
    sampling_rate,
)
from espnet_adaptive_dropout.compress.work import working
from espnet_adaptive_dropout.compress.written import Written, write_data
from espnet_adaptive_dropout.experiments.experiment import load_config
from espnet_adaptive_dropout.experiments.files import (
    new_directory,
    write_json,
    write_text,
)
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

REPORT = "compress.json"
Say = Callable[[str], None]


@dataclasses.dataclass
class CompressOptions:
    """Options of the command.

    Args:
        model: packed file, name of a published model, experiment directory, or
            config.yaml.
        data: directories of audio.
        output_dir: directory of the result.
        cut: options of the cut; its data are those that are prepared here.
        model_file: checkpoint, where the model does not say it.
        task: name of a module of ``espnet2.tasks``; None finds it.
        train: "none".
        locations: names of locations to cut.
        held_out: share of the utterances to hold out, or a directory; None for the
            usual share.
        minutes: most minutes of audio to rank and to repair on.
        inference_config: ESPnet decoding config for the recognition.
        ngpu: 0 or 1: whether to recognise and to rank on the GPU.
        keep_work: leave the work directory.
    """

    model: str
    data: list[str]
    output_dir: Path
    cut: PruneOptions
    model_file: Path | None = None
    task: str | None = None
    train: str = "none"
    locations: list[str] = dataclasses.field(default_factory=lambda: ["all"])
    held_out: str | None = None
    minutes: float = 15.0
    inference_config: Path | None = None
    ngpu: int = 0
    keep_work: bool = False

    @property
    def device(self) -> str:
        """Where models run."""
        return "cuda" if self.ngpu else "cpu"

    def settings(self) -> dict[str, Any]:
        """Return what the work of a run depends on, for JSON."""
        names = ("model", "model_file", "task", "data", "held_out", "inference_config")
        values = {name: getattr(self, name) for name in names}
        return json.loads(json.dumps(values, default=str))


def compress(options: CompressOptions, say: Say = print) -> dict[str, Any]:
    """Make a model smaller, and write the result.

    Args:
        options: options of the command.
        say: is called with a line at every step.

    Returns:
        The content of compress.json: ``before`` and ``after`` (sizes, times, error
        rates), ``same`` and ``difference`` (outputs of both against each other),
        ``certificate``, ``repair``, and what was done on which data.

    Raises:
        ValueError: an option, the model or the data are refused, or the certificate
            does not hold.
        OSError: the result cannot be written.
    """
    with (
        new_directory(options.output_dir, REPORT) as partial,
        working(options.output_dir, options.settings(), options.keep_work) as work,
    ):
        run = _Run(options, work, partial, say)
        report = run.result()
    say(_summary(options.output_dir, report))
    return report


@dataclasses.dataclass
class _Run:
    """One run of the command."""

    options: CompressOptions
    work: Path
    partial: Path
    say: Say

    def __post_init__(self) -> None:
        options = self.options
        self.decoding = inference_options(options.inference_config)
        self.source = self._open()
        self.config = load_config(self.source.config_file)
        self.rate = sampling_rate(self.config)
        self.files = Files(self.source.config_file, self.source.model_file)
        _check_cut(self._trained(None), options)
        self.data = material(options.data, options.held_out, self.source.task, self.say)

    def _open(self) -> Source:
        options = self.options
        source = open_source(
            options.model, self.work / "model", options.task, options.model_file
        )
        check_task(source.task)
        self.say(f"model: task {source.task}, {source.model_file}")
        return source

    def _trained(self, data: Written | None) -> Trained:
        return open_trained(
            self.source.config_file,
            self.source.model_file,
            self.source.task,
            [",".join(triplet) for triplet in data.triplets] if data else None,
            self.options.device,
        )

    def result(self) -> dict[str, Any]:
        """Do the work; return the report."""
        held_out = write_data(
            self.data.held_out, self.work / "data" / "held_out", self.rate
        )
        recogniser = self._recogniser(self.files)
        before = recogniser(held_out, "held-out audio, before")
        audio, labelled_here = self._calibration(recogniser)
        self.say(f"labels: {audio.utterances} utterances, {labelled_here} by the model")
        del recogniser
        pruned = self._cut(audio)
        small = Files(
            self.partial / "config.yaml", self.partial / self.source.model_file.name
        )
        after = self._recogniser(small)(held_out, "held-out audio, after")
        report = self._report(pruned, before, after, small)
        report["data"] = {
            "utterances": audio.utterances,
            "labelled_by_model": labelled_here,
            "left_out": self.data.left_out,
        }
        write_json(self.partial / REPORT, report)
        write_text(self.partial / "compress.md", to_markdown(report))
        complete(
            self.partial, self.options.output_dir, self.source, held_out, self.work
        )
        return report

    def _recogniser(self, files: Files) -> Recogniser:
        return Recogniser(
            self.source.task,
            files.config_file,
            files.model_file,
            self.decoding,
            self.options.device,
        )

    def _calibration(self, recogniser: Recogniser) -> tuple[Written, int]:
        """Write the audio that units are ranked and weights are repaired on."""
        repaired = self.options.cut.repair_utterances
        number = max(160, repaired + -(-repaired // 4))
        utterances = chosen(self.data.pool, number, self.options.minutes)
        directory = self.work / "data" / "calibration"
        return labelled(utterances, directory, recogniser, self.rate)

    def _cut(self, audio: Written) -> dict[str, Any]:
        """Rank, plan, cut, certify and repair, as ``adaprune prune`` does."""
        start = time.perf_counter()
        trained = self._trained(audio)
        options = _with_data(self.options, audio)
        keep, plan = plan_units(trained, rank(trained, options), options)
        report = write_experiment(
            trained, keep, plan, options, self.partial, self.options.output_dir
        )
        share_images(self.source.experiment, self.partial)
        self.say(
            f"cut: {report['reduction']:.2%} of the encoder, "
            f"{time.perf_counter() - start:.1f} s"
        )
        return report

    def _report(
        self,
        pruned: dict[str, Any],
        before: Recognition,
        after: Recognition,
        small: Files,
    ) -> dict[str, Any]:
        task, data = self.source.task, self.data
        transcripts = references(data.held_out, task) if data.transcribed else None
        compared = comparison(task, before, after, transcripts)
        times = encoder_seconds(task, self.files, small, self.rate)
        found = {
            "model": self.source.name,
            "model_file": str(self.source.model_file),
            "task": task,
            "criterion": pruned["criterion"],
            "target_reduction": pruned["target_reduction"],
            "reduction": pruned["reduction"],
            "same": compared["same"],
            "difference": compared["difference"],
            "certificate": pruned["certificate"],
            "repair": pruned.get("repair"),
            "recognition": _search(self.config, self.options.inference_config),
            "device": "a CPU" if self.options.device == "cpu" else "a GPU",
            "threads": torch.get_num_threads(),
            "held_out": {
                "utterances": len(data.held_out),
                "seconds": before.audio_seconds,
                "transcribed": data.transcribed,
            },
        }
        sides = zip(("before", "after"), (self.files, small), (before, after), times)
        for side, files, recognition, seconds in sides:
            found[side] = {
                **pruned[side],
                "megabytes": files.model_file.stat().st_size / 1e6,
                "mega_macs": pruned[side]["encoder_macs"] / 1e6,
                "encoder_milliseconds": 1000.0 * seconds,
                "time_share": recognition.time_share,
                **(compared.get(side) or {}),
            }
        return found


def _check_cut(trained: Trained, options: CompressOptions) -> None:
    """Refuse a target above what the locations can give, before any work is done."""
    criterion = criterion_choices.get_class(options.cut.criterion)
    if not hasattr(criterion, "candidates"):
        raise ValueError(
            f"--criterion {options.cut.criterion}: needs gates that were trained; "
            f"choose taylor, magnitude or another that takes any model"
        )
    units = trained.table.num_units
    candidates = criterion(locations=options.locations).candidates(trained.table)
    ranking = Ranking(torch.rand(units), candidates, needs_target=True)
    plan_units(trained, ranking, options.cut)


def _with_data(options: CompressOptions, audio: Written) -> PruneOptions:
    """Return the options of the cut with the locations and the prepared data."""
    kind: Any = criterion_choices.get_class(options.cut.criterion)
    fields = {field.name for field in dataclasses.fields(kind)}
    conf = {"locations": options.locations}
    if "data" in fields:
        conf["data"] = [",".join(triplet) for triplet in audio.triplets]
    return dataclasses.replace(
        options.cut,
        criterion_conf={**conf, **options.cut.criterion_conf},
        data=[",".join(audio.speech)],
    )


def _search(config: dict[str, Any], inference_config: Path | None) -> str:
    """Describe how utterances were recognised."""
    if inference_config is not None:
        return f"ESPnet's search as {inference_config} says"
    alone = (config.get("model_conf") or {}).get("ctc_weight") == 1.0
    return "the most likely CTC path" if alone else "ESPnet's search with a beam of 1"


def _summary(output_dir: Path, report: dict[str, Any]) -> str:
    before, after = report["before"], report["after"]
    text = (
        f"{output_dir}: {before['encoder_params']:,} -> {after['encoder_params']:,} "
        f"parameters of the encoder"
    )
    if "wer" in before:
        text += f", WER {before['wer']:.2f} -> {after['wer']:.2f} %"
    difference = report["difference"]
    if difference:
        text += f", {difference['wer']:.2f} % WER against the original's output"
    return text
