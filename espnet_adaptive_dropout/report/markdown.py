"""The report as Markdown for people and as JSON for programs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Callable

from espnet_adaptive_dropout.experiments.markdown import table_lines
from espnet_adaptive_dropout.pruning.repair.report import repair_summary
from espnet_adaptive_dropout.report.before_after import AFTER, BEFORE, FLOOR
from espnet_adaptive_dropout.report.costs import PARTS, Costs
from espnet_adaptive_dropout.report.exported import forms_table
from espnet_adaptive_dropout.report.figures import (
    COSTS,
    DECODER_HISTOGRAMS,
    DECODER_TRAINING,
    DECODER_WIDTHS,
    FORMS,
    HEADS,
    HISTOGRAMS,
    SWEEP_VALIDATION,
    SWEEP_WER,
    TRAINING,
    WIDTHS,
)
from espnet_adaptive_dropout.report.gather import Course, Findings

_TITLES = {BEFORE: "before", AFTER: "after", FLOOR: "cannot be pruned"}

_CURVES = (
    "Lines join sizes cut from one training, single markers are trainings of their "
    "own, a ring marks the model at the size that its training left it at. The axis "
    "does not start at zero."
)
_CAPTIONS = {
    WIDTHS: "Units kept by block and location; the shade is the share of the units "
    "at full width.",
    DECODER_WIDTHS: "Units kept in the decoder, by layer and location.",
    HEADS: "Query and value units kept in every attention head.",
    COSTS: "Costs of the encoder by part. What is hatched stays when every unit that "
    "can be pruned is gone.",
    FORMS: "Size and CPU time of the forms of the encoder.",
    HISTOGRAMS: "Retention probabilities over the training, all blocks together: the "
    "darker, the larger the share of units at that probability (logarithmic). The "
    "line is the mean.",
    TRAINING: "Share that is removed, and error on the validation set, "
    "over the training. *Expected* counts every unit with its probability; *if cut "
    "now* removes every unit with p <= 0.5, which is also what the validation sees. "
    "Sizes are means over ESPnet's log intervals, in the middle of each; one over "
    "steps before and after the cut is left out.",
    DECODER_TRAINING: "The same of the decoder.",
    DECODER_HISTOGRAMS: "Retention probabilities of the decoder.",
    SWEEP_WER: f"Word error rate over the size of the encoder. {_CURVES}",
    SWEEP_VALIDATION: "Score on the validation set over the size of the encoder: no "
    f"model was decoded. {_CURVES}",
}


def to_json(findings: Findings, drawn: Sequence[str]) -> dict[str, Any]:
    """All numbers of the report and of its figures, JSON-serialisable."""
    return {
        "experiment": findings.name,
        "figures": list(drawn),
        "missing": findings.missing,
        "unprunable_share": findings.unprunable,
        "costs": {
            name: dataclasses.asdict(cost) for name, cost in findings.costs.items()
        },
        "wer": findings.wer,
        "pruning": findings.pruning,
        "marks": findings.encoder.marks,
        "scalars": {
            phase: {name: _plain(series) for name, series in found.items()}
            for phase, found in findings.scalars.items()
        },
        **_histograms(HISTOGRAMS, findings.encoder),
        **_histograms(DECODER_HISTOGRAMS, findings.decoder),
        "forms": {
            name: dataclasses.asdict(form) for name, form in findings.forms.items()
        },
        "curves": [dataclasses.asdict(curve) for curve in findings.curves],
    }


def _histograms(name: str, course: Course) -> dict[str, Any]:
    plain = {location: _plain(found) for location, found in course.history.items()}
    return {name: plain}


def _plain(arrays: Any) -> dict[str, Any]:
    return {key: value.tolist() for key, value in vars(arrays).items()}


def to_markdown(findings: Findings, drawn: Sequence[str]) -> str:
    """Render the report.

    Args:
        findings: results to show.
        drawn: names of the figures beside the report.
    """
    lines = [f"# Report of {findings.name}", ""]
    if findings.pruning is not None:
        lines += _pruning_summary(findings.pruning)
    lines += [
        _what_stays(findings),
        "",
        "## Costs",
        "",
        *_cost_table(findings.costs),
        "",
        *_how_measured(findings.costs),
        "",
        *_figure(COSTS, drawn),
        *_forms_section(findings, drawn),
        *_wer_section(findings.wer),
    ]
    if findings.pruning is not None:
        lines += ["## Widths", ""]
        for name in (WIDTHS, DECODER_WIDTHS, HEADS):
            lines += _figure(name, drawn)
    for title, names in (
        ("## Training", (TRAINING, HISTOGRAMS, DECODER_TRAINING, DECODER_HISTOGRAMS)),
        ("## Size and error", (SWEEP_WER, SWEEP_VALIDATION)),
    ):
        shown = [line for name in names for line in _figure(name, drawn)]
        lines += [title, "", *shown] if shown else []
    if findings.missing:
        lines += ["## Not in this report", ""]
        lines += [f"- {line}" for line in findings.missing]
    return "\n".join(lines).rstrip() + "\n"


def _what_stays(findings: Findings) -> str:
    text = (
        f"{findings.unprunable:.1%} of the encoder's parameters stay whatever is "
        f"removed at all locations that this package knows"
    )
    if findings.ungated is None:
        return f"{text}."
    return (
        f"{text}; at the locations at which this training had gates, "
        f"{findings.ungated:.1%} stay."
    )


def _pruning_summary(pruning: dict[str, Any]) -> list[str]:
    certificate = pruning["certificate"]
    # Reports of older releases are of encoders.
    shares = pruning.get("reductions") or {"encoder": pruning["reduction"]}
    gone = " and ".join(
        f"{share:.2%} of the {kind}'s" for kind, share in shares.items()
    )
    found = {"encoder": certificate, "decoder": certificate.get("decoder")}
    differences = (
        f"The pruned {kind} differs from the masked one by "
        f"{found[kind]['largest_difference']:.1e} at most in double precision, "
        f"{found[kind]['rounding']:.1e} with the rounding of {certificate['dtype']}."
        for kind in shares
    )
    return [
        f"{gone} parameters are gone (criterion `{pruning['criterion']}`). "
        + " ".join(differences),
        *repair_summary(pruning.get("repair")),
        "",
    ]


def _figure(name: str, drawn: Sequence[str]) -> list[str]:
    if name not in drawn:
        return []
    return [f"![{name}]({name}.png)", "", _CAPTIONS[name], ""]


def _cost_table(costs: dict[str, Costs]) -> list[str]:
    shown = [name for name in (BEFORE, AFTER, FLOOR) if name in costs]
    table: list[list[str]] = []

    def row(title: str, values: dict[str, float], text: str) -> None:
        cells = [
            text.format(values[name])
            + ("" if name == BEFORE else f" ({_share(values[name], values[BEFORE])})")
            for name in shown
        ]
        table.append([title, *cells])

    def rows(
        title: str, read: Callable[[Costs], Mapping[str, float]], text: str
    ) -> None:
        row(f"**{title}**", {n: sum(read(costs[n]).values()) for n in shown}, text)
        for part in read(costs[BEFORE]):
            if any(read(costs[n])[part] for n in shown):
                row(part, {n: read(costs[n])[part] for n in shown}, text)

    rows("parameters", lambda c: c.parameters, "{:,.0f}")
    rows("MACs [M]", lambda c: {k: v / 1e6 for k, v in c.macs.items()}, "{:,.1f}")
    timings = {name: costs[name].timing for name in shown}
    known = {name: timing for name, timing in timings.items() if timing}
    if len(known) == len(shown):
        totals = {n: 1e3 * timing.total for n, timing in known.items()}
        row("**CPU time [ms]**", totals, "{:.1f}")
        for part in PARTS:
            parts = {n: 1e3 * timing.parts[part] for n, timing in known.items()}
            row(part, parts, "{:.1f}")
    rows(
        "peak memory [MB]",
        lambda c: {k: v / 1e6 for k, v in c.memory.items()},
        "{:.2f}",
    )
    return table_lines(["encoder", *(_TITLES[name] for name in shown)], table)


def _share(value: float, whole: float) -> str:
    return f"{value / whole:.1%}" if whole else "-"


def _how_measured(costs: dict[str, Costs]) -> list[str]:
    text = (
        "Everything is of the encoder alone, for one utterance of 10 s. MACs are "
        "those of matrix products and convolutions. Memory is that of the tensors "
        "alive at once in a forward pass (weights, and the peak of activations), not "
        "of the process."
    )
    timing = costs[BEFORE].timing
    if timing is not None:
        spread = "; ".join(
            f"{_TITLES[name]} {1e3 * c.timing.low:.1f} to {1e3 * c.timing.high:.1f} ms"
            for name, c in costs.items()
            if c.timing is not None
        )
        text += (
            f" Times are medians of {timing.rounds} runs with {timing.threads} "
            f"thread(s), the encoders taking turns; of the whole encoder from the 10th "
            f"to the 90th percentile: {spread}."
        )
    return [text]


def _forms_section(findings: Findings, drawn: Sequence[str]) -> list[str]:
    if not findings.forms:
        return []
    table = forms_table(findings.forms)
    return ["## ONNX and int8", "", *table, "", *_figure(FORMS, drawn)]


def _wer_section(wer: dict[str, dict[str, float]]) -> list[str]:
    found = {name: values for name, values in wer.items() if values}
    if not found:
        return []
    rows = [
        [name, key, f"{value:.1f}"]
        for name, values in found.items()
        for key, value in values.items()
    ]
    table = table_lines(["experiment", "decoded", "WER [%]"], rows, left=(0, 1))
    return ["## WER", "", *table, ""]
