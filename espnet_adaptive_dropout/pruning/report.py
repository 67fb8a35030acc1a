"""The report on a pruning, in JSON and in Markdown."""

from __future__ import annotations

from typing import Any

import torch

from espnet_adaptive_dropout.experiments.markdown import table_lines
from espnet_adaptive_dropout.experiments.sizes import mac_length
from espnet_adaptive_dropout.pruning.certificate.certificate import Certificate
from espnet_adaptive_dropout.pruning.plan import PruningPlan
from espnet_adaptive_dropout.pruning.repair.report import (
    repair_summary,
    repaired_layers,
)
from espnet_adaptive_dropout.units.locations import LOCATIONS
from espnet_adaptive_dropout.units.table import UnitTable


def make_report(
    table: UnitTable,
    keep: torch.Tensor,
    plan: PruningPlan,
    certificate: Certificate,
    before: dict[str, float],
    after: dict[str, float],
) -> dict[str, Any]:
    """Collect the report in one JSON-serialisable mapping.

    Args:
        table: unit table of the full-width parts that are cut.
        keep: which units stay, without unused ones, bool (units,).
        plan: description of ``keep``.
        certificate: comparison of the masked with the compact encoder.
        before: sizes of the model at full width.
        after: sizes of the compact model.
    """
    kept: dict[str, list[dict[str, Any]]] = {"encoder": [], "decoder": []}
    for group in table.groups:
        row = {
            "block": group.block,
            "location": group.location,
            "kept": int(keep[group.span].sum()),
            "units": group.num_units,
            "heads": keep[group.span].view(group.heads, -1).sum(dim=1).tolist(),
        }
        kept[group.stack].append(row)
    return {
        "of": plan.of,
        "criterion": plan.criterion,
        "target_reduction": plan.target_reduction,
        "cost": plan.cost,
        "cost_reduction": plan.cost_reduction,
        "reduction": plan.reduction,
        "removed_parameters": plan.removed_parameters,
        "bounds": table.bounds(),
        "before": before,
        "after": after,
        "certificate": certificate.to_dict(),
        "reductions": plan.reductions,
        "kept": kept["encoder"],
        **({"kept_decoder": kept["decoder"]} if kept["decoder"] else {}),
    }


# What a target counts, in words
_WHOSE = {
    "encoder": "the encoder's parameters",
    "decoder": "the decoder's parameters",
    "model": "the parameters of encoder and decoder",
}
_SHARE_OF = {"encoder": "the encoder", "decoder": "the decoder", "model": "both"}


def _encoder_lines(report: dict[str, Any]) -> list[str]:
    certificate = report["certificate"]
    if not report["kept"]:
        return ["The encoder stays as it is."]
    return [
        f"Largest difference between the masked and the compact encoder, opened from "
        f"the files, on {certificate['utterances']} real utterances and "
        f"{certificate['random_utterances']} of random features, in evaluation and as "
        f"in training: "
        f"{certificate['largest_difference']:.1e} in double precision (tolerance "
        f"{certificate['tolerance']:.0e}), {certificate['rounding']:.1e} with the "
        f"rounding of {certificate['dtype']}."
    ]


def _decoder_lines(report: dict[str, Any]) -> list[str]:
    certificate = report["certificate"].get("decoder")
    if certificate is None:
        return []
    what = (
        "The compact decoder takes the place of ESPnet's. Largest difference of their"
    )
    if report.get("kept_decoder"):
        what = "Largest difference between the masked and the compact decoder in their"
    return [
        "",
        f"{what} scores, all tokens at once and token after token: "
        f"{certificate['largest_difference']:.1e} in double precision, "
        f"{certificate['rounding']:.1e} with rounding.",
    ]


def to_markdown(report: dict[str, Any]) -> str:
    """Render a report in Markdown."""
    locations = {name: location.summary for name, location in LOCATIONS.items()}
    bounds = [
        (name, locations.get(name, "all together"), f"{bound:.1%}")
        for name, bound in report["bounds"].items()
    ]
    lines = [
        "# Pruning report",
        "",
        _summary(report),
        "",
        *_encoder_lines(report),
        *_decoder_lines(report),
        *repair_summary(report.get("repair")),
        "",
        *_size_table(report),
        *_fixed_lines(report),
        *_width_lines("## Units kept, by block and location", report["kept"]),
        *_width_lines(
            "## Units kept, by layer of the decoder and location",
            report.get("kept_decoder", []),
        ),
        *repaired_layers(report.get("repair")),
        "",
        "## The most that each location could give",
        "",
        *table_lines(
            ["location", "what", f"share of {_SHARE_OF[_cut_parts(report)]}"],
            bounds,
            left=(0, 1),
        ),
    ]
    return "\n".join(lines) + "\n"


def _summary(report: dict[str, Any]) -> str:
    text = (
        f"Criterion `{report['criterion']}`; {report['reduction']:.2%} of "
        f"{_WHOSE[report['of']]} removed"
    )
    target = report["target_reduction"]
    shares = report["reductions"]
    if len(shares) > 1:
        each = (f"{share:.2%} of the {kind}'s" for kind, share in shares.items())
        text += f" ({' and '.join(each)})"
    if target is None and len(shares) > 1:
        return f"{text}."
    if target is None:
        return f"{text} (every unit with p <= 0.5)."
    if report["cost"] == "parameters":
        return f"{text} (asked for {target:.2%})."
    return (
        f"{text}, and {report['cost_reduction']:.2%} of its MACs (asked for "
        f"{target:.2%} of them)."
    )


def _cut_parts(report: dict[str, Any]) -> str:
    """Return "encoder", "decoder", or "model" where both were cut."""
    parts = list(report["reductions"])
    return "model" if len(parts) > 1 else parts[0]


def _fixed_lines(report: dict[str, Any]) -> list[str]:
    """A table of what no location removes."""
    total = report["after"]["total_params"]
    rows = [
        (name, f"{count:,}", f"{count / total:.1%}")
        for name, count in report.get("fixed", {}).items()
    ]
    if not rows:
        return []
    titles = ["what always stays", "parameters", "share of the small model"]
    return ["", *table_lines(titles, rows)]


def _size_table(report: dict[str, Any]) -> list[str]:
    before, after = report["before"], report["after"]
    titles = {
        "encoder_params": "encoder parameters",
        "total_params": "all parameters",
        "encoder_macs": f"encoder MACs ({mac_length(before)})",
    }
    if report.get("kept_decoder"):
        titles["decoder_params"] = "decoder parameters"
    rows = [
        [
            *(title, f"{before[key]:,.0f}", f"{after[key]:,.0f}"),
            f"{1.0 - after[key] / before[key]:.1%}",
        ]
        for key, title in titles.items()
    ]
    return table_lines(["", "before", "after", "removed"], rows)


def _width_lines(title: str, kept: list[dict[str, Any]]) -> list[str]:
    return ["", title, "", *_width_table(kept)] if kept else []


def _width_table(kept: list[dict[str, Any]]) -> list[str]:
    blocks: dict[int, dict[str, str]] = {}
    channels = []
    for row in kept:
        text = f"{row['kept']} / {row['units']}"
        if len(row["heads"]) > 1:
            text += f" ({'+'.join(map(str, row['heads']))})"
        if row["block"] is None:
            channels.append(text)
        else:
            blocks.setdefault(row["block"], {})[row["location"]] = text
    names = list(next(iter(blocks.values()), {}))
    rows = [[str(block), *cells.values()] for block, cells in blocks.items()]
    lines = table_lines(["block", *names], rows)
    if channels:
        lines += ["", f"Channels of the input layer: {' and '.join(channels)}."]
    return lines
