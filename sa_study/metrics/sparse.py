"""Sparse rows as tensors on one device: what k-reciprocal sets and encodings are made of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

ENTRIES_PER_CHUNK = 2**20
"""What intermediate results hold at a time, so that memory does not grow with the number of images."""


@dataclass(frozen=True, eq=False)
class SparseRows:
    """The entries of a sparse matrix, row after row.

    Attributes:
        lengths: Entries of each row; int64, shape (R,).
        columns: int64, shape (E,); none twice in a row.
        weights: float32, shape (E,).
    """

    lengths: Tensor
    columns: Tensor
    weights: Tensor

    @property
    def starts(self) -> Tensor:
        """Each row's first entry; int64, shape (R,)."""
        return self.lengths.cumsum(0) - self.lengths

    def part(self, rows: slice) -> SparseRows:
        """Return some successive rows."""
        first, beyond = int(self.lengths[: rows.start].sum()), int(self.lengths[: rows.stop].sum())
        return SparseRows(self.lengths[rows], self.columns[first:beyond], self.weights[first:beyond])

    def transposed(self, num_columns: int) -> SparseRows:
        """Return the columns as rows."""
        columns, order = self.columns.sort(stable=True)
        rows = torch.repeat_interleave(self.lengths)
        return SparseRows(columns.bincount(minlength=num_columns), rows[order], self.weights[order])


def stacked(parts: Iterable[SparseRows]) -> SparseRows:
    """Return the rows of all parts."""
    fields = zip(*((part.lengths, part.columns, part.weights) for part in parts), strict=True)
    return SparseRows(*(torch.cat(field) for field in fields))


def summed(rows: Tensor, columns: Tensor, weights: Tensor, num_rows: int, num_columns: int) -> SparseRows:
    """Return a matrix in which entries at the same place add up, by column within a row.

    Args:
        rows: int64, shape (E,), in any order.
        columns: int64, shape (E,).
        weights: float32, shape (E,).
        num_rows: Rows of the matrix.
        num_columns: Columns of the matrix.
    """
    keys, order = (rows * num_columns + columns).sort(stable=True)
    places, place = torch.unique_consecutive(keys, return_inverse=True)
    sums = weights.new_zeros(len(places)).index_add_(0, place, weights[order])
    return SparseRows((places // num_columns).bincount(minlength=num_rows), places % num_columns, sums)


def spans(starts: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Return the entries in spans, and each one's span: of [7, 4], [2, 1] these are [7, 8, 4] and [0, 0, 1].

    Args:
        starts: First entry of each span; int64, shape (S,).
        lengths: Entries of each span; int64, shape (S,).
    """
    span = torch.repeat_interleave(lengths)
    shifts = starts - (lengths.cumsum(0) - lengths)
    return shifts[span].add_(torch.arange(len(span), device=span.device)), span


def chunks(entries: Tensor) -> list[slice]:
    """Cut rows into runs that make less than `ENTRIES_PER_CHUNK` entries each, beside those of the first row.

    Args:
        entries: What each row makes; int64, shape (R,).
    """
    run = entries.cumsum(0) // ENTRIES_PER_CHUNK
    bounds = [0, *(run.diff().nonzero()[:, 0] + 1).tolist(), len(entries)]
    return [slice(start, stop) for start, stop in pairwise(bounds)]
