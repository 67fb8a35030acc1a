"""What pruning did, as JSON for programs and Markdown for people."""

from __future__ import annotations

from typing import Any

import torch

from espnet_adaptive_dropout.pruning.certificate import Certificate
from espnet_adaptive_dropout.pruning.plan import PruningPlan
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
    """Collect everything in one JSON-serialisable mapping."""
    kept = [
        {
            "block": group.block,
            "location": group.location,
            "kept": int(keep[group.span].sum()),
            "units": group.num_units,
            "heads": keep[group.span].view(group.heads, -1).sum(dim=1).tolist(),
        }
        for group in table.groups
    ]
    return {
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
        "kept": kept,
    }


def to_markdown(report: dict[str, Any]) -> str:
    """Render a report."""
    certificate = report["certificate"]
    lines = [
        "# Pruning report",
        "",
        _summary(report),
        "",
        f"Largest difference between the masked and the compact encoder, opened from "
        f"the files, on {certificate['utterances']} real utterances and "
        f"{certificate['random_utterances']} of random features, in evaluation and as "
        f"in training: "
        f"{certificate['largest_difference']:.1e} in double precision (tolerance "
        f"{certificate['tolerance']:.0e}), {certificate['rounding']:.1e} with the "
        f"rounding of {certificate['dtype']}.",
        "",
        *_size_table(report),
        "",
        "## Units kept, by block and location",
        "",
        *_width_table(report["kept"]),
        "",
        "## The most that each location could give",
        "",
        "| location | what | share of the encoder |",
        "|---|---|---:|",
    ]
    for name, bound in report["bounds"].items():
        what = LOCATIONS[name].summary if name in LOCATIONS else "all together"
        lines.append(f"| {name} | {what} | {bound:.1%} |")
    return "\n".join(lines) + "\n"


def _summary(report: dict[str, Any]) -> str:
    text = (
        f"Criterion `{report['criterion']}`; {report['reduction']:.2%} of the "
        f"encoder's parameters removed"
    )
    target = report["target_reduction"]
    if target is None:
        return f"{text} (every unit with p <= 0.5)."
    if report["cost"] == "parameters":
        return f"{text} (asked for {target:.2%})."
    return (
        f"{text}, and {report['cost_reduction']:.2%} of its MACs (asked for "
        f"{target:.2%} of them)."
    )


def _size_table(report: dict[str, Any]) -> list[str]:
    before, after = report["before"], report["after"]
    lines = ["| | before | after | removed |", "|---|---:|---:|---:|"]
    length = (
        f"{before['mac_seconds']:.0f} s utterance"
        if "mac_seconds" in before
        else f"{before['mac_tokens']:.0f} tokens"
    )
    names = {
        "encoder_params": "encoder parameters",
        "total_params": "all parameters",
        "encoder_macs": f"encoder MACs, {length}",
    }
    for key, title in names.items():
        share = 1.0 - after[key] / before[key]
        lines.append(
            f"| {title} | {before[key]:,.0f} | {after[key]:,.0f} | {share:.1%} |"
        )
    return lines


def _width_table(kept: list[dict[str, Any]]) -> list[str]:
    of_input = [row for row in kept if row["block"] is None]
    kept = [row for row in kept if row["block"] is not None]
    names = list(dict.fromkeys(row["location"] for row in kept))
    blocks = sorted({row["block"] for row in kept})
    cells = {(row["block"], row["location"]): row for row in kept}
    lines = [
        "| block | " + " | ".join(names) + " |",
        "|---" + "|---:" * len(names) + "|",
    ]
    for block in blocks:
        row = [cells[(block, name)] for name in names]
        texts = [
            f"{cell['kept']} / {cell['units']}"
            + (
                f" ({'+'.join(map(str, cell['heads']))})"
                if len(cell["heads"]) > 1
                else ""
            )
            for cell in row
        ]
        lines.append(f"| {block} | " + " | ".join(texts) + " |")
    if of_input:
        channels = " and ".join(f"{row['kept']} / {row['units']}" for row in of_input)
        lines += ["", f"Channels of the input layer: {channels}."]
    return lines
