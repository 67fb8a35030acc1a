"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table_lines(
    headings: Sequence[str], rows: Iterable[Sequence[str]], left: Sequence[int] = (0,)
) -> list[str]:
    """Lines of a table.

    Args:
        headings: one for each column.
        rows: the cells of each row.
        left: columns aligned to the left; all others are aligned to the right.
    """
    rules = ["---" if i in left else "---:" for i in range(len(headings))]
    lines = [f"| {' | '.join(headings)} |", f"|{'|'.join(rules)}|"]
    return lines + [f"| {' | '.join(cells)} |" for cells in rows]
