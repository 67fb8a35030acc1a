"""The result of a repair, and what the report says about it in Markdown."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any, Optional

from espnet_adaptive_dropout.experiments.markdown import table_lines

# What became of a layer
REPAIRED, KEPT = "repaired", "kept"
UNCHANGED, SKIPPED = "unchanged", "skipped"


@dataclasses.dataclass
class LayerRepair:
    """What became of a layer.

    Args:
        block: index of its block, or layer of a decoder; None: the input layer.
        layer: name of the module that it ends.
        result: ``REPAIRED``; ``KEPT``: solved, but no better on held-out audio;
            ``UNCHANGED``: nothing to repair; ``SKIPPED``: not a Linear.
        before: error of its output on held-out audio, as a share of the size of what
            it should put out, with the weights as cut.
        after: the same with the weights as written.
    """

    block: int | None
    layer: str
    result: str
    before: float | None = None
    after: float | None = None


@dataclasses.dataclass
class Repair:
    """Result of a repair of an encoder or a decoder.

    Args:
        utterances: number of utterances that the layers were fitted on.
        held_out: number of other utterances that the errors are measured on.
        before: error of its output on held-out audio before the repair, as a share of
            the size of the original output.
        after: the same after the repair.
        used: whether the repaired weights are used: ``after`` is below ``before``.
        layers: what became of each layer.
    """

    utterances: int
    held_out: int
    before: float
    after: float
    used: bool
    layers: list[LayerRepair]

    def to_dict(self) -> dict[str, Any]:
        """Return the result as a JSON-serialisable mapping."""
        return dataclasses.asdict(self)


# Repairs of "encoder" and "decoder", see ``Repair.to_dict``; None without any
Repairs = Optional[dict[str, dict[str, Any]]]


def repair_summary(repairs: Repairs) -> list[str]:
    """Return a paragraph about each repair.

    Args:
        repairs: what was repaired.
    """
    lines = []
    for kind, repair in (repairs or {}).items():
        lines += ["", _summary(kind, repair)]
    return lines


def repaired_layers(repairs: Repairs) -> list[str]:
    """Return the section about the layers; nothing without a repair.

    Args:
        repairs: what was repaired.
    """
    if not repairs:
        return []
    tables = [["", *_layer_table(kind, one["layers"])] for kind, one in repairs.items()]
    return [
        "",
        "## Repair, by layer",
        "",
        "Relative error of each layer on the held-out audio, before and after: what it "
        "puts out against what would make up for everything that is missing so far. "
        "*kept*: solved again, but no better on that audio, so that the weights "
        "stay as cut; *unchanged*: nothing to repair; *skipped*: a convolution over "
        "time, which is not solved.",
        *itertools.chain(*tables),
    ]


def _summary(kind: str, repair: dict[str, Any]) -> str:
    errors = (
        f"Error of the {kind}'s output against the model before the cut, on "
        f"{repair['held_out']} other utterances, as a share of the size of the output: "
        f"{repair['before']:.2%} as cut, {repair['after']:.2%} with the repair"
    )
    fitted = f"on {repair['utterances']} utterances"
    if repair["used"]:
        return (
            f"**The weights of the {kind} are not only copies of the trained ones.** "
            f"The difference above is that of the cut. Afterwards layers were solved "
            f"again by least squares {fitted}, which changes what the {kind} puts out. "
            f"{errors}."
        )
    return (
        f"**The repair of the {kind} is not used**: it was computed {fitted} and "
        f"brought nothing, so that the weights are those that were compared above. "
        f"{errors}."
    )


def _layer_table(kind: str, layers: list[dict[str, Any]]) -> list[str]:
    names = list(dict.fromkeys(one["layer"] for one in layers))
    rows: dict[int | None, dict[str, str]] = {}
    for one in layers:
        rows.setdefault(one["block"], {})[one["layer"]] = _cell(one)
    cells = [
        ["input" if block is None else str(block), *(row.get(n, "") for n in names)]
        for block, row in rows.items()
    ]
    block = "block" if kind == "encoder" else "layer of the decoder"
    return table_lines([block, *names], cells)


def _cell(layer: dict[str, Any]) -> str:
    if layer["result"] == REPAIRED:
        return f"{layer['before']:.1%} -> {layer['after']:.1%}"
    return str(layer["result"])
