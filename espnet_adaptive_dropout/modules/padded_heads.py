"""Heads of unequal width padded with zeros, for one product over several heads."""

from __future__ import annotations

from collections.abc import Sequence

import torch

# A head joins wider ones if its queries and values need no more zeros than this: about
# where the products with zeros cost what one call less saves (CPU, utterances of 2 to
# 10 s).
MOST_ZEROS = 16


class HeadGrid(torch.nn.Module):
    """Some heads of vectors stored head after head, padded to equal width.

    Args:
        widths: units of every head, as stored.
        heads: indices of the heads in the grid.
    """

    def __init__(self, widths: Sequence[int], heads: Sequence[int]):
        super().__init__()
        total = sum(widths)
        self.heads = len(heads)
        self.width = max(widths[head] for head in heads)
        # The index after the last unit is that of a zero in spread().
        index = torch.full((self.heads, self.width), total)
        for row, head in enumerate(heads):
            start = sum(widths[:head])
            index[row, : widths[head]] = torch.arange(start, start + widths[head])
        index = index.flatten()
        self.is_plain = torch.equal(index, torch.arange(total))
        self.units = None
        if self.heads == 1:  # they lie side by side
            start = sum(widths[: heads[0]])
            self.units = slice(start, start + self.width)
        self.register_buffer("index", index, persistent=False)

    def spread(self, vectors: torch.Tensor) -> torch.Tensor:
        """(#batch, time, units) -> (#batch, head, time, width), zeros at the ends."""
        if self.units is not None:
            return vectors[..., self.units].unsqueeze(1)
        if not self.is_plain:
            vectors = torch.nn.functional.pad(vectors, (0, 1))
            vectors = vectors.index_select(-1, self.index)
        batch, time = vectors.size(0), vectors.size(1)
        if self.width == 0:  # ONNX takes a 0 in reshape for "as it is"
            return vectors.new_zeros(batch, self.heads, time, 0)
        # Not unflatten, which would fix the length in an exported model.
        grid = vectors.reshape(batch, time, self.heads, self.width)
        return grid.transpose(1, 2)


class HeadsInOrder(torch.nn.Module):
    """Puts the units of several grids back into the order in which they are stored.

    Args:
        grids: grids that together hold every unit once.
        units: number of units.
    """

    def __init__(self, grids: Sequence[HeadGrid], units: int):
        super().__init__()
        indices = torch.cat([grid.index for grid in grids])
        # Zeros have the index after the last unit, and so come last.
        order = torch.argsort(indices)[:units]
        self.is_plain = torch.equal(order, torch.arange(len(indices)))
        self.register_buffer("order", order, persistent=False)

    def forward(self, contexts: list[torch.Tensor]) -> torch.Tensor:
        """(#batch, head, time, width) of every grid -> (#batch, time, units)."""
        flat = torch.cat([c.transpose(1, 2).flatten(2) for c in contexts], dim=-1)
        return flat if self.is_plain else flat.index_select(-1, self.order)


def head_groups(
    query_widths: Sequence[int], value_widths: Sequence[int]
) -> list[list[int]]:
    """Heads to be computed together, those without values left out."""
    alive = [head for head, width in enumerate(value_widths) if width]
    alive.sort(key=lambda head: -(query_widths[head] + value_widths[head]))
    groups: list[list[int]] = []
    for head in alive:
        for group in groups:
            query = max(query_widths[other] for other in [*group, head])
            value = max(value_widths[other] for other in [*group, head])
            zeros = [
                query - query_widths[other] + value - value_widths[other]
                for other in [*group, head]
            ]
            if max(zeros) <= MOST_ZEROS:
                group.append(head)
                break
        else:
            groups.append([head])
    return [sorted(group) for group in groups]
