"""Collects the results of an experiment, and lists what is missing."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from espnet_adaptive_dropout.control.config import AdaptiveDropoutConfig
from espnet_adaptive_dropout.experiments.encoder_entry import (
    StackEntry,
    decoder_entry,
    encoder_entry,
)
from espnet_adaptive_dropout.experiments.experiment import load_config, load_task
from espnet_adaptive_dropout.export.export import REPORT as EXPORT_REPORT
from espnet_adaptive_dropout.report.before_after import compare_costs
from espnet_adaptive_dropout.report.costs import Costs
from espnet_adaptive_dropout.report.curves import SizeCurve, read_sweep
from espnet_adaptive_dropout.report.exported import (
    ExportedForm,
    exported_forms,
    read_report,
)
from espnet_adaptive_dropout.report.history_reader import (
    Histograms,
    Series,
    read_history,
    read_scalars,
)
from espnet_adaptive_dropout.report.training import control_marks

# Rounds of the time measurement.
ROUNDS = 21


@dataclasses.dataclass
class ReportOptions:
    """Options of ``bin.report``."""

    exp: Path
    pruned: Path | None = None
    sweep: Sequence[str] = ()
    separate: Sequence[str] = ()
    export: Path | None = None
    measure_time: bool = True
    task: str = "asr"


@dataclasses.dataclass
class Course:
    """How the size of an encoder or a decoder was found in a training.

    Args:
        history: retention histograms by location; {} if there are none.
        marks: steps of the training to mark in plots.
        cost: unit of the size, "parameters" or "macs".
        of: what the size is a share of, "encoder", "decoder" or "model".
    """

    history: dict[str, Histograms]
    marks: dict[str, float]
    cost: str
    of: str


@dataclasses.dataclass
class Findings:
    """All that a report shows.

    Args:
        name: name of the experiment.
        scalars: numbers that ESPnet logged, by phase and name.
        encoder: course of the encoder's size; with ``of: model`` also the decoder's.
        decoder: course of the decoder's size.
        pruning: report.json of the pruned model, or None.
        wer: word error rates of the test sets in percent, by experiment directory.
        costs: costs of the encoder before and after pruning, and at the least.
        unprunable: share of the encoder's parameters that no location can remove.
        ungated: share that the locations with gates cannot remove, or None.
        curves: curves of the sweeps and separate trainings.
        forms: exported forms by name; {} if there are none.
        missing: one line for every missing result.
    """

    name: str
    scalars: dict[str, dict[str, Series]]
    encoder: Course
    decoder: Course
    pruning: dict[str, Any] | None
    wer: dict[str, dict[str, float]]
    costs: dict[str, Costs]
    unprunable: float
    ungated: float | None
    curves: list[SizeCurve]
    forms: dict[str, ExportedForm]
    missing: list[str]


def gather(options: ReportOptions) -> Findings:
    """Read everything and measure the costs.

    Raises:
        ValueError: an input cannot be read, or is of the wrong kind.
    """
    config = load_config(options.exp / "config.yaml")
    pruned_config = None
    if options.pruned is not None:
        pruned_config = load_config(options.pruned / "config.yaml")
    curves = [_read_named(text, connected=True) for text in options.sweep]
    curves += [_read_named(text, connected=False) for text in options.separate]
    rounds = ROUNDS if options.measure_time else 0
    task = load_task(options.task)
    trained = _trained(encoder_entry(config), config)
    gated = trained.size_options()["locations"] if trained else None
    costs, unprunable, ungated = compare_costs(
        task, config, pruned_config, rounds, gated
    )
    export = _export_directory(options)
    untimed: list[str] = []
    forms: dict[str, ExportedForm] = {}
    if export is not None:
        forms = exported_forms(task, config, pruned_config, export, rounds, untimed)
    directories = [options.exp, *filter(None, [options.pruned])]
    findings = Findings(
        name=options.exp.resolve().name,
        scalars=read_scalars(options.exp),
        encoder=_course(options.exp, "encoder", trained),
        decoder=_course(
            options.exp, "decoder", _trained(decoder_entry(config), config)
        ),
        pruning=_read_pruning(options.pruned),
        wer={d.resolve().name: read_wer(d / "RESULTS.md") for d in directories},
        costs=costs,
        unprunable=unprunable,
        ungated=ungated,
        curves=curves,
        forms=forms,
        missing=[],
    )
    findings.missing = [*_what_is_missing(findings, options), *untimed]
    return findings


def _read_named(text: str, connected: bool) -> SizeCurve:
    """Read ``[NAME=]PATH``; a path may have a "=" too."""
    name, _, path = ("", "", text) if Path(text).exists() else text.partition("=")
    return read_sweep(Path(path or text), name if path else "", connected)


def _export_directory(options: ReportOptions) -> Path | None:
    """The directory that was named, or the one that the recipe writes."""
    found = (options.pruned or options.exp) / "export"
    if options.export is None and (found / EXPORT_REPORT).is_file():
        return found
    return options.export


def _trained(entry: StackEntry, config: dict[str, Any]) -> AdaptiveDropoutConfig | None:
    conf = entry.adaptive_conf(config)
    return None if conf is None else AdaptiveDropoutConfig.from_dict(conf)


def _course(exp: Path, kind: str, trained: AdaptiveDropoutConfig | None) -> Course:
    cost = trained.cost if trained else "parameters"
    # One target for both is the encoder's affair.
    is_joint = kind == "encoder" and trained is not None and trained.of == "model"
    of = "model" if is_joint else kind
    return Course(read_history(exp, kind), _marks(trained), cost, of)


def _marks(trained: AdaptiveDropoutConfig | None) -> dict[str, float]:
    if trained is None:
        return {}
    shares = {"ramp_start": trained.ramp_start, "ramp_end": trained.ramp_end}
    if trained.freezes:
        shares["freeze_at"] = trained.freeze_at
    return control_marks(shares, trained.total_steps)


def _read_pruning(pruned: Path | None) -> dict[str, Any] | None:
    if pruned is None:
        return None
    return read_report(pruned / "report.json", "--pruned", "bin.prune", ("kept",))


def read_wer(path: Path) -> dict[str, float]:
    """WER in percent of each decoded set in an ESPnet RESULTS.md; {} without one."""
    if not path.is_file():
        return {}
    section, found = "", {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            section = line.strip("# ").strip()
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        is_row = len(cells) == 9 and re.fullmatch(r"[\d.]+", cells[7])
        if section == "WER" and is_row:
            found[cells[0]] = float(cells[7])
    return found


def _what_is_missing(findings: Findings, options: ReportOptions) -> list[str]:
    lines = []
    if not findings.encoder.history and not findings.decoder.history:
        lines.append(
            "No histograms of the retention probabilities: the training did not "
            "write them (trained without adaptive dropout, with an older release, or "
            "without the tensorboard package)."
        )
    if not any(findings.scalars.values()):
        lines.append(
            f"No course of the training: {options.exp}/tensorboard has no event files "
            f"(use_tensorboard: false, or removed)."
        )
    elif not any("expected_reduction" in name for name in findings.scalars["train"]):
        lines.append(
            "No size over training: the training did not log its expected reduction "
            "(trained without adaptive dropout)."
        )
    if findings.pruning is None:
        lines.append("No widths and no costs after pruning: no --pruned was given.")
    for name, wer in findings.wer.items():
        if not wer:
            lines.append(f"No WER of {name}: it has no RESULTS.md with one.")
    if not findings.curves:
        lines.append("No size-WER curve: no --sweep was given.")
    elif not any(curve.errors() for curve in findings.curves):
        lines.append("No size-WER curve: no model of the sweeps was scored.")
    if not findings.forms:
        lines.append("No ONNX and int8: no --export was given.")
    if not options.measure_time:
        lines.append("No times: --measure_time false.")
    return lines
