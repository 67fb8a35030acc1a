"""The table of a model before and after, compress.md and compress.json."""

from __future__ import annotations

from typing import Any

from espnet_adaptive_dropout.experiments.markdown import table_lines
from espnet_adaptive_dropout.experiments.sizes import mac_length

# What was cut, in words
_WHAT = {
    "encoder": "the encoder",
    "decoder": "the decoder",
    "model": "encoder and decoder",
}


def to_markdown(report: dict[str, Any]) -> str:
    """Render the content of compress.json in Markdown.

    Args:
        report: see ``compress.compress``.
    """
    lines = [
        "# Before and after",
        "",
        f"`{report['model']}`, {report['reduction']:.1%} of the parameters of "
        f"{_WHAT[report['of']]} removed. {_how(report)}",
        "",
        *table_lines(["", "before", "after", "change"], _rows(report)),
        "",
        _conditions(report),
        "",
        _honesty(report),
    ]
    return "\n".join(lines) + "\n"


def _rows(report: dict[str, Any]) -> list[list[str]]:
    before, after = report["before"], report["after"]
    length = mac_length(before)
    rows = [
        _row("encoder parameters", before, after, "encoder_params", "{:,.0f}"),
        *_decoder_row(before, after),
        _row("all parameters", before, after, "total_params", "{:,.0f}"),
        _row("model file [MB]", before, after, "megabytes", "{:,.2f}"),
        _row(f"encoder MACs ({length}) [M]", before, after, "mega_macs", "{:,.1f}"),
        _row(
            f"encoder time ({length}) [ms]",
            *(before, after, "encoder_milliseconds", "{:,.1f}"),
        ),
        _row("recognition, share of real time", before, after, "time_share", "{:.4f}"),
    ]
    for rate in ("wer", "cer"):
        if rate in before and rate in after:
            rows.append(_row(f"{rate.upper()} [%]", before, after, rate, "{:.2f}"))
    difference = report["difference"]
    for rate in ("wer", "cer") if difference else ():
        title = f"{rate.upper()} against the original's output [%]"
        rows.append([title, "0", f"{difference[rate]:.2f}", ""])
    return rows


def _decoder_row(before: dict[str, Any], after: dict[str, Any]) -> list[list[str]]:
    """Return the row of the decoder's parameters, if some were removed."""
    key = "decoder_params"
    if before.get(key) == after.get(key):
        return []
    return [_row("decoder parameters", before, after, key, "{:,.0f}")]


def _row(
    title: str, before: dict[str, Any], after: dict[str, Any], key: str, form: str
) -> list[str]:
    old, new = before[key], after[key]
    change = f"{new / old - 1.0:+.1%}" if old else ""
    return [title, form.format(old), form.format(new), change]


def _how(report: dict[str, Any]) -> str:
    data = report["data"]
    labels = f"{data['utterances']} utterances"
    if data["labelled_by_model"]:
        labels += (
            f", {data['labelled_by_model']} of which have no transcript but what the "
            f"original model recognised"
        )
    training = report.get("training")
    ranked = f"Units ranked by `{report['criterion']}`"
    if training is None:
        return f"{ranked} on {labels}; without a training."
    return (
        f"{ranked}, then {training['passes']:g} passes ({training['steps']:,} batches) "
        f"of training with the original model as the teacher, on {labels}."
    )


def _conditions(report: dict[str, Any]) -> str:
    held_out = report["held_out"]
    text = (
        f"Measured on {held_out['utterances']} held-out utterances "
        f"({held_out['seconds'] / 60:.1f} minutes) with {report['recognition']}, no "
        f"language model, on {report['device']}; encoder times are medians on a CPU "
        f"with {report['threads']} threads."
    )
    if not held_out["transcribed"]:
        text += " There are no transcripts: error rates against them are not known."
    return text


def _honesty(report: dict[str, Any]) -> str:
    certificate = report["certificate"]
    parts = [certificate, certificate.get("decoder") or certificate]
    largest = max(part["largest_difference"] for part in parts)
    text = (
        f"**The certificate is of the cut**: the small network computes what the "
        f"masked large one does, with differences up to {largest:.1e} in double "
        f"precision. It does not say that the outputs are those of the original model: "
    )
    repairs = report.get("repair") or {}
    if report.get("training"):
        text += "the removed units, the repair and the training change them."
    elif any(one["used"] for one in repairs.values()):
        text += "the removed units and the repair of the weights change them."
    else:
        text += "the removed units change them."
    for kind, repair in repairs.items():
        used = "" if repair["used"] else " (which is therefore not used)"
        text += (
            f" The {kind}'s output differs from the original's by "
            f"{repair['before']:.1%} of its size after the cut alone, and by "
            f"{repair['after']:.1%} with the repair{used}, on other utterances."
        )
    text += f" {report['same']:.1%} of the held-out utterances are recognised as before"
    difference = report["difference"]
    if difference:
        text += (
            f"; against the original model's output the word error rate is "
            f"{difference['wer']:.2f} % and the character error rate "
            f"{difference['cer']:.2f} %"
        )
    return f"{text}."
