"""Short tables that compare rows of a section: by location, and by size."""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence

from benchmarks.compare.runs import FAMILY, LOCATIONS, percent
from benchmarks.tables.results import Measured, removed
from espnet_adaptive_dropout.experiments.markdown import table_lines


def location_table(rows: Sequence[Measured], dense: Optional[Measured]) -> List[str]:
    """What each location gives and costs, alone and left out, as Markdown lines."""
    there = {row.key: row for row in rows}
    headings = ["location", "removed alone", "WER test [%]"]
    headings += ["removed without it", "WER test [%]"]
    cells = [
        [
            f"`{name}`",
            *_size_and_rate(there.get(f"only_{name}"), dense),
            *_size_and_rate(there.get(f"without_{name}"), dense),
        ]
        for name in LOCATIONS
    ]
    cells.append(["all", *_size_and_rate(there.get("ours"), dense), "", ""])
    return table_lines(headings, cells)


def size_table(rows: Sequence[Measured], target: float) -> List[str]:
    """Ways to several sizes, as Markdown lines; a way without results has no column.

    Args:
        rows: all that there are.
        target: share that the rows of the main table remove.
    """
    there = {row.key: row for row in rows}
    asked = percent(target)
    sizes = sorted({*map(percent, FAMILY), asked})
    titles = {
        "family": "one training for all sizes",
        "ours": f"trained for {asked} %, cut to this size",
        "separate": "a training for this size alone",
        "distilled": "this size alone, taught by the full width",
        "lagrangian": "this size alone, Lagrangian control",
        "taylor_for": "Taylor, then fine-tuning",
        "family_all": "one training for all sizes, all locations, taught",
        "ours_all": "this size alone, all locations",
        "distilled_all": "this size alone, all locations, taught",
        "taylor_all": "Taylor, all locations, then fine-tuning",
    }
    at_target = {
        "family": f"family_{asked}",
        "family_all": f"family_all_{asked}",
        "separate": "ours",
        "taylor_for": "taylor",
    }
    columns = []
    for way, title in titles.items():
        keys = [f"{way}_{size}" for size in sizes]
        if any(key in there for key in keys):
            keys[sizes.index(asked)] = at_target.get(way, way)
            columns.append([title, *(_rate(there, key) for key in keys)])
    headings, *cells = zip(["removed", *(f"{size} %" for size in sizes)], *columns)
    return table_lines(headings, cells, left=())


def _rate(there: Dict[str, Measured], key: str) -> str:
    return there[key].spread("test") if key in there else "-"


def _size_and_rate(row: Optional[Measured], dense: Optional[Measured]) -> List[str]:
    if row is None:
        return ["-", "-"]
    share = removed(row, dense)
    return ["-" if share is None else f"{share:.1%}", row.spread("test")]
