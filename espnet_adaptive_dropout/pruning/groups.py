"""Says in words what a plan removes: which rows and columns of which tensors."""

from __future__ import annotations

from typing import Dict, List

import torch

from espnet_adaptive_dropout.locations import LOCATIONS
from espnet_adaptive_dropout.pruning.trained import Trained
from espnet_adaptive_dropout.units import UnitGroup, UnitTable
from espnet_adaptive_dropout.widths import format_indices

_AXES = ("row", "column")


def describe(trained: Trained, keep: torch.Tensor) -> str:
    """The groups that go, by block and location, and the sizes before and after.

    Args:
        trained: the model.
        keep: which units stay, closed, bool (units,).

    Returns:
        Lines of text.
    """
    lines: List[str] = []
    block = None
    for group in trained.table.groups:
        if group.block != block:
            block = group.block
            lines.append(f"block {block}")
        lines += [f"  {line}" for line in _group_lines(trained, group, keep)]
    return "\n".join([*lines, "", *size_table(trained.table, keep)])


def size_table(table: UnitTable, keep: torch.Tensor) -> List[str]:
    """Parameters of the encoder before and after, by location, as Markdown.

    Locations overlap in one thing: a head without value units loses its query units
    too. These count here as removed at ``query``, while the bound of ``value``, which
    is of that location alone, has them in it.
    """
    total = table.parameters.total
    bounds = table.bounds()
    before: Dict[str, float] = {}
    after: Dict[str, float] = {}
    for group in table.groups:
        costs = table.parameters.per_unit[group.row]
        name = group.location
        before[name] = before.get(name, 0.0) + costs.sum().item()
        after[name] = after.get(name, 0.0) + (costs * keep[group.row]).sum().item()
    rest = total - sum(before.values())
    lines = [
        "| location | parameters | bound | removed | removed of encoder | kept |",
        "|---|---:|---:|---:|---:|---:|",
    ]

    def add(name: str, old: float, bound: str, new: float) -> None:
        gone = old - new
        lines.append(
            f"| {name} | {old:,.0f} | {bound} | {gone:,.0f} | {gone / total:.2%} "
            f"| {new:,.0f} |"
        )

    for name in before:
        add(name, before[name], f"{bounds[name]:.1%}", after[name])
    add("the rest", rest, "0.0%", rest)
    add("encoder", total, f"{bounds['all']:.1%}", rest + sum(after.values()))
    return lines


def _group_lines(trained: Trained, group: UnitGroup, keep: torch.Tensor) -> List[str]:
    """What goes at one location of one block."""
    gone = (~keep[group.row]).nonzero().flatten().tolist()
    if not gone:
        return [f"{group.location}: all {group.units} units stay"]
    units = format_indices(gone)
    lines = [f"{group.location}: {len(gone)} of {group.units} units go: {units}"]
    if group.heads > 1:
        lines.append(f"  left in each head: {_by_head(group, keep)}")
    for name, axis in LOCATIONS[group.location].slices:
        tensor = trained.state.get(trained.key(group, name))
        if tensor is None:
            continue
        kind = "entries" if tensor.dim() == 1 else f"{_AXES[axis]}s"
        shape = "x".join(map(str, tensor.shape))
        if name.startswith("pos_bias"):
            kind = "entries, counted over all heads,"
        module = LOCATIONS[group.location].module
        lines.append(f"  {module}.{name} ({shape}): {kind} {units}")
    return lines


def _by_head(group: UnitGroup, keep: torch.Tensor) -> str:
    kept = keep[group.row].view(group.heads, -1)
    width = kept.shape[1]
    counts = [f"{int(count)}/{width}" for count in kept.sum(dim=1)]
    return ", ".join(counts)
