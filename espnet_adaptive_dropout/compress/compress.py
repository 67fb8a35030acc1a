"""Makes an existing model smaller: from its name and audio to a packed result."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Callable

import torch

from espnet_adaptive_dropout.compress.cut import WithoutTraining
from espnet_adaptive_dropout.compress.labels import labels_of
from espnet_adaptive_dropout.compress.measure import (
    Files,
    comparison,
    encoder_seconds,
)
from espnet_adaptive_dropout.compress.options import CompressOptions
from espnet_adaptive_dropout.compress.prepare import material, references
from espnet_adaptive_dropout.compress.recognise import Recogniser, Recognition
from espnet_adaptive_dropout.compress.report import to_markdown
from espnet_adaptive_dropout.compress.result import complete
from espnet_adaptive_dropout.compress.source import open_source, own_data
from espnet_adaptive_dropout.compress.tasks import (
    check_task,
    inference_options,
    sampling_rate,
)
from espnet_adaptive_dropout.compress.trained_cut import ShortTraining
from espnet_adaptive_dropout.compress.work import working
from espnet_adaptive_dropout.compress.written import write_data
from espnet_adaptive_dropout.experiments.experiment import load_config
from espnet_adaptive_dropout.experiments.files import (
    new_directory,
    write_json,
    write_text,
)

REPORT = "compress.json"
_WAYS: Mapping[str, Any] = {"none": WithoutTraining, "short": ShortTraining}


def compress(
    options: CompressOptions, say: Callable[[str], None] = print
) -> dict[str, Any]:
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
        report = _compress(options, work, partial, say)
    say(_summary(options.output_dir, report))
    return report


def _compress(
    options: CompressOptions, work: Path, partial: Path, say: Callable[[str], None]
) -> dict[str, Any]:
    """Do the work in ``work``, fill ``partial``, and return the report."""
    decoding = inference_options(options.inference_config)
    source = open_source(
        options.model, work / "model", options.task, options.model_file
    )
    check_task(source.task)
    say(f"model: task {source.task}, {source.model_file}")
    way = _WAYS[options.train](options, source, work, say)
    way.check()
    directories = options.data or own_data(source)
    config = load_config(source.config_file)
    labels = labels_of(source.task, config)
    data = material(directories, options.held_out, labels, say)
    rate = sampling_rate(config)
    held_out = write_data(data.held_out, work / "data" / "held_out", rate)

    def recogniser(files: Files) -> Recogniser:
        paths = files.config_file, files.model_file
        return Recogniser(source.task, *paths, decoding, options.device)

    original = Files(source.config_file, source.model_file)
    large = recogniser(original)
    before = large(held_out, "held-out audio, before")
    used = way.prepare(data.pool, large)
    del large
    pruned = way.cut(partial)
    small = Files(partial / "config.yaml", next(partial.glob("*.pth")))
    after = recogniser(small)(held_out, "held-out audio, after")
    transcripts = references(data.held_out, labels) if data.transcribed else None
    report = {
        "model": source.name,
        "model_file": str(source.model_file),
        "task": source.task,
        "train": options.train,
        "target_reduction": options.cut.target_reduction,
        **{n: pruned[n] for n in ("of", "criterion", "reduction", "certificate")},
        "repair": pruned.get("repair"),
        "training": pruned.get("training"),
        "data": {**used, "left_out": data.left_out},
        "held_out": {
            "utterances": len(data.held_out),
            "seconds": before.audio_seconds,
            "transcribed": data.transcribed,
        },
        "recognition": _search(options.inference_config, source.config_file),
        "device": "a CPU" if options.device == "cpu" else "a GPU",
        "threads": torch.get_num_threads(),
    }
    compared = comparison(labels, before, after, transcripts)
    report.update({name: compared[name] for name in ("same", "difference")})
    times = encoder_seconds(source.task, original, small, rate)
    for side, files, recognition, seconds in (
        ("before", original, before, times[0]),
        ("after", small, after, times[1]),
    ):
        facts = _facts(pruned[side], files, recognition, seconds)
        report[side] = {**facts, **(compared.get(side) or {})}
    write_json(partial / REPORT, report)
    write_text(partial / "compress.md", to_markdown(report))
    complete(partial, options.output_dir, source, held_out, work)
    return report


def _facts(
    sizes: dict[str, float], files: Files, recognition: Recognition, seconds: float
) -> dict[str, float]:
    """Return the row of a model: sizes and times."""
    return {
        **sizes,
        "megabytes": files.model_file.stat().st_size / 1e6,
        "mega_macs": sizes["encoder_macs"] / 1e6,
        "encoder_milliseconds": 1000.0 * seconds,
        "time_share": recognition.time_share,
    }


def _search(inference_config: Path | None, config_file: Path) -> str:
    """Describe how utterances were recognised."""
    if inference_config is not None:
        return f"ESPnet's search as {inference_config} says"
    model_conf = load_config(config_file).get("model_conf") or {}
    if model_conf.get("ctc_weight") == 1.0:
        return "the most likely CTC path"
    return "ESPnet's search with a beam of 1"


def _summary(output_dir: Path, report: dict[str, Any]) -> str:
    before, after = report["before"], report["after"]
    text = (
        f"{output_dir}: {before['total_params']:,} -> {after['total_params']:,} "
        f"parameters"
    )
    if "wer" in before:
        text += f", WER {before['wer']:.2f} -> {after['wer']:.2f} %"
    difference = report["difference"]
    if difference:
        text += f", {difference['wer']:.2f} % WER against the original's output"
    return text
