"""A symmetric matrix of which one triangle is stored, and its Cholesky factor."""

from __future__ import annotations

import torch

# Rows that are stored and computed together
ROWS = 512


class Triangle:
    """Lower triangle of a symmetric matrix, in double precision.

    It is stored as groups of rows, each up to its own square on the diagonal. That
    takes little more than half the memory of the whole matrix.

    Args:
        size: number of rows; may be 0.
    """

    def __init__(self, size: int):
        starts = range(0, size, ROWS)
        self._spans = [slice(start, min(start + ROWS, size)) for start in starts]
        self._groups = [
            torch.zeros(span.stop - span.start, span.stop, dtype=torch.float64)
            for span in self._spans
        ]

    def add_products(self, x: torch.Tensor, factor: float = 1.0) -> None:
        """Add ``factor * x.T @ x``.

        Args:
            x: (frames, size), in double precision.
            factor: factor of the products.
        """
        for span, rows in zip(self._spans, self._groups):
            rows.addmm_(x[:, span].T, x[:, : span.stop], alpha=factor)

    def diagonal(self) -> list[torch.Tensor]:
        """Return views of the parts of the diagonal."""
        groups = zip(self._spans, self._groups)
        return [rows.diagonal(span.start) for span, rows in groups]

    def __matmul__(self, right: torch.Tensor) -> torch.Tensor:
        """Return the product with (size, columns), in double precision."""
        product = torch.zeros_like(right)
        for span, rows in zip(self._spans, self._groups):
            product[span] += rows @ right[: span.stop]
            product[: span.start] += rows[:, : span.start].T @ right[span]
        return product

    def solve_(self, right: torch.Tensor) -> None:
        """Replace ``right`` by the solution x of ``self @ x = right``.

        The Cholesky factor L with ``L @ L.T = self`` is written over the matrix, which
        must be positive definite.

        Args:
            right: (size, columns), in double precision.

        Raises:
            RuntimeError: the matrix is not positive definite.
        """
        solve = torch.linalg.solve_triangular
        for index, (span, rows) in enumerate(zip(self._spans, self._groups)):
            left, square = rows[:, : span.start], rows[:, span.start :]
            for before, above in zip(self._spans[:index], self._groups):
                part = left[:, before]
                part -= left[:, : before.start] @ above[:, : before.start].T
                corner = above[:, before.start :].T
                part.copy_(solve(corner, part, upper=True, left=False))
            square -= left @ left.T
            square.copy_(torch.linalg.cholesky(square))
            right[span] -= left @ right[: span.start]
            right[span] = solve(square, right[span], upper=False)
        for span, rows in zip(reversed(self._spans), reversed(self._groups)):
            right[span] = solve(rows[:, span.start :].T, right[span], upper=True)
            right[: span.start] -= rows[:, : span.start].T @ right[span]
