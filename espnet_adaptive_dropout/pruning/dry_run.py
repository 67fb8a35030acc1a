"""Lists what a plan removes: which rows and columns of which tensors."""

from __future__ import annotations

import torch

from espnet_adaptive_dropout.experiments.markdown import table_lines
from espnet_adaptive_dropout.pruning.trained import Trained
from espnet_adaptive_dropout.units.group import UnitGroup
from espnet_adaptive_dropout.units.table import UnitTable
from espnet_adaptive_dropout.units.widths import format_indices

_AXES = ("row", "column")
_OWNERS = {"encoder": "block {}", "decoder": "decoder layer {}"}


def describe(trained: Trained, keep: torch.Tensor) -> str:
    """List the removed units by block and location, and the sizes before and after.

    Args:
        trained: trained experiment.
        keep: which units stay, without unused ones, bool (units,).

    Returns:
        Lines of text, joined.
    """
    lines: list[str] = []
    title = None
    for group in trained.table.groups:
        owner = _OWNERS[group.stack].format(group.block)
        owner = "input layer" if group.block is None else owner
        if owner != title:
            title = owner
            lines.append(title)
        lines += [f"  {line}" for line in _group_lines(trained, group, keep)]
    for _, table, kept in trained.by_part(keep):
        lines += ["", *size_table(table, kept)]
    return "\n".join(lines)


def size_table(table: UnitTable, keep: torch.Tensor) -> list[str]:
    """Return a table of the parameters before and after, by location, in Markdown.

    Locations overlap: a head without value units loses its query units too, and a
    convolution module without channels its inputs. "removed" counts these at their
    own location, "bound" at the location whose removal makes them useless. A weight
    of both an input and a channel counts as half at each, whichever of them goes.
    """
    total = table.parameters.total
    names = list(dict.fromkeys(group.location for group in table.groups))
    bounds = table.bounds()
    before = _by_location(table, torch.ones_like(keep))
    kept = _by_location(table, keep)
    removed = [old - new for old, new in zip(before, kept)]
    rows = [
        *((name, old, bounds[name], x) for name, old, x in zip(names, before, removed)),
        ("the rest", total - sum(before), 0.0, 0.0),
        (table.name, total, bounds["all"], sum(removed)),
    ]
    return table_lines(
        [
            "location",
            "parameters",
            "bound",
            "removed",
            f"removed of {table.name}",
            "kept",
        ],
        [
            [
                *(name, f"{old:,.0f}", f"{bound:.1%}"),
                *(f"{gone:,.0f}", f"{gone / total:.2%}", f"{old - gone:,.0f}"),
            ]
            for name, old, bound, gone in rows
        ],
    )


def _by_location(table: UnitTable, keep: torch.Tensor) -> list[float]:
    """Return the parameters of the kept units of every location."""
    cost, pools = table.parameters, table.pools("location")
    own = cost.per_unit * keep  # as if every unit of the other group were there
    for pair in cost.shared:
        for unit, other in ((pair.first, pair.second), (pair.second, pair.first)):
            absent = len(keep[other]) - keep[other].sum() / 2
            own[unit] -= pair.amount * absent * keep[unit]
    sums = torch.zeros(int(pools.max()) + 1, dtype=own.dtype)
    return sums.index_add(0, pools, own).tolist()


def _group_lines(trained: Trained, group: UnitGroup, keep: torch.Tensor) -> list[str]:
    """Return the lines about one location of one block."""
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
