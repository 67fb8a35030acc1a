"""Says in words what a plan removes: which rows and columns of which tensors."""

from __future__ import annotations

import torch

from espnet_adaptive_dropout.pruning.trained import Trained
from espnet_adaptive_dropout.units.cost import SavingByPool
from espnet_adaptive_dropout.units.table import UnitGroup, UnitTable
from espnet_adaptive_dropout.units.widths import format_indices

_AXES = ("row", "column")


def describe(trained: Trained, keep: torch.Tensor) -> str:
    """The groups that go, by block and location, and the sizes before and after.

    Args:
        trained: the model.
        keep: which units stay, closed, bool (units,).

    Returns:
        Lines of text.
    """
    lines: list[str] = []
    title = None
    for group in trained.table.groups:
        owner = "input layer" if group.block is None else f"block {group.block}"
        if owner != title:
            title = owner
            lines.append(title)
        lines += [f"  {line}" for line in _group_lines(trained, group, keep)]
    return "\n".join([*lines, "", *size_table(trained.table, keep)])


def size_table(table: UnitTable, keep: torch.Tensor) -> list[str]:
    """Parameters of the encoder before and after, by location, as Markdown.

    Locations overlap: a head without value units loses its query units too, and a
    convolution module without channels its inputs. These count here as removed where
    they are, while a bound is of its location alone, with all that it takes along.
    Weights of both an input and a channel count as half of each.
    """
    cost = table.parameters
    saving = SavingByPool(cost, table.pools("location"))
    names = list(dict.fromkeys(group.location for group in table.groups))
    bounds = table.bounds()

    before = saving(torch.ones(table.num_units)).tolist()
    removed = saving((~keep).double()).tolist()
    total, rest = cost.total, cost.total - sum(before)
    lines = [
        "| location | parameters | bound | removed | removed of encoder | kept |",
        "|---|---:|---:|---:|---:|---:|",
    ]

    def add(name: str, old: float, bound: float, gone: float) -> None:
        lines.append(
            f"| {name} | {old:,.0f} | {bound:.1%} | {gone:,.0f} | {gone / total:.2%} "
            f"| {old - gone:,.0f} |"
        )

    for name, old, gone in zip(names, before, removed):
        add(name, old, bounds[name], gone)
    add("the rest", rest, 0.0, 0.0)
    add("encoder", total, bounds["all"], sum(removed))
    return lines


def _group_lines(trained: Trained, group: UnitGroup, keep: torch.Tensor) -> list[str]:
    """What goes at one location of one block."""
    gone = (~keep[group.span]).nonzero().flatten().tolist()
    if not gone:
        return [f"{group.location}: all {group.num_units} units stay"]
    units = format_indices(gone)
    lines = [f"{group.location}: {len(gone)} of {group.num_units} units go: {units}"]
    if group.heads > 1:
        lines.append(f"  left in each head: {_by_head(group, keep)}")
    for part in group.location_spec.slices:
        tensor = trained.state.get(trained.key(group, part.name))
        if tensor is None:
            continue
        kind = "entries" if tensor.dim() == 1 else f"{_AXES[part.axis]}s"
        shape = "x".join(map(str, tensor.shape))
        if part.name.startswith("pos_bias"):
            kind = "entries, counted over all heads,"
            places = units
        else:
            places = format_indices(part.indices(tensor, ~keep[group.span]).tolist())
        lines.append(
            f"  {group.location_spec.module}.{part.name} ({shape}): {kind} {places}"
        )
    return lines


def _by_head(group: UnitGroup, keep: torch.Tensor) -> str:
    kept = keep[group.span].view(group.heads, -1)
    width = kept.shape[1]
    counts = [f"{int(count)}/{width}" for count in kept.sum(dim=1)]
    return ", ".join(counts)
