"""A setting's results as lines of Markdown."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence

from benchmarks.speed.rows import STOCK, parse_row
from benchmarks.speed.turns import spread


def forward_lines(
    content: Dict[str, Any], names: Optional[Sequence[str]] = None, clock: str = "wall"
) -> List[str]:
    """Table of one setting.

    Args:
        content: of the setting's file.
        names: of rows; None: all that are there.
        clock: "wall" or "cpu".
    """
    rows = content["rows"]
    names = [name for name in names or rows if name in rows]
    lines = [
        "| row | params | MACs | time [ms] | MAD | of stock [%] | quartiles "
        "| time saved / MACs saved | tensors, peak [MB] |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name in names:
        cells = _cells(rows[name], rows[STOCK], clock)
        lines.append(f"| {parse_row(name).title} (`{name}`) | " + " | ".join(cells))
    return [line if line.endswith("|") else line + " |" for line in lines]


def saved_share(
    row: Dict[str, Any], stock: Dict[str, Any], clock: str = "wall"
) -> Optional[float]:
    """Share of time saved over share of MACs saved; None where no MACs are."""
    saved_macs = 1.0 - row["macs"] / stock["macs"]
    if saved_macs < 1e-3:
        return None
    return (1.0 - spread(row["ratios"][clock])["median"]) / saved_macs


def _cells(row: Dict[str, Any], stock: Dict[str, Any], clock: str) -> List[str]:
    time = spread(row["seconds"][clock])
    ratio = spread(row["ratios"][clock])
    share = saved_share(row, stock, clock)
    memory = row.get("activation_bytes")
    return [
        f"{row['parameters'] / 1e6:.2f} M",
        f"{row['macs'] / 1e9:.2f} G ({row['macs'] / stock['macs']:.0%})",
        f"{1e3 * time['median']:.1f}",
        f"{1e3 * time['deviation']:.1f}",
        f"{100 * ratio['median']:.1f}",
        f"{100 * ratio['low']:.1f}-{100 * ratio['high']:.1f}",
        "-" if share is None else f"{share:.2f}",
        "-" if memory is None else f"{memory / 1e6:.1f}",
    ]
