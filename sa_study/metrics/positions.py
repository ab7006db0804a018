"""Where queries' true matches stand in their rankings, in blocks of queries, on the distances' device.

A match stands behind every gallery image that counts and is nearer, or as near and earlier in the gallery.
How many are nearer is looked up in the row's sorted values: sorting values alone, without the order that
belongs to them, costs a fraction of an argsort. Only where a match's distance occurs again does order count.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

DISTRACTOR_PID = 0
_VALUES_PER_CHUNK = 2**22


class MatchPositions:
    """Finds matches' positions in one gallery; the protocol is `RankingAccumulator`'s."""

    def __init__(self, pids: NDArray[np.int64], camids: NDArray[np.int64]) -> None:
        """Sort the gallery by pid.

        Args:
            pids: Shape (G,).
            camids: Shape (G,).
        """
        self._pids, self._camids = pids, camids
        self._by_pid = np.argsort(pids, kind="stable")
        self._sorted_pids = pids[self._by_pid]

    def find(
        self, distances: Tensor, pids: NDArray[np.int64], camids: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the ranks of the matches of some queries.

        Args:
            distances: float32 or float64 without NaN, shape (B, G), on any device. Left unchanged.
            pids: Shape (B,).
            camids: Shape (B,).

        Returns:
            The number of each query's matches, int64, shape (B,); and the ranks from 1, ascending within a
            query, of one query after another, int64, shape (sum of these numbers,).
        """
        rows, columns = self._same_pid(pids)
        elsewhere = self._camids[columns] != camids[rows]
        counts = np.bincount(rows[elsewhere], minlength=len(pids))
        # A column a match, at least one; queries with fewer matches look up the rest for nothing.
        valid = np.arange(counts.max(initial=1)) < counts[:, None]
        matches = np.zeros(valid.shape, dtype=np.int64)
        matches[valid] = columns[elsewhere]
        same_view = np.stack([rows[~elsewhere], columns[~elsewhere]])
        arrays = (self._pids >= 0, same_view, matches, valid)
        not_junk, left_out, *of_matches = (torch.from_numpy(array).to(distances.device) for array in arrays)
        counting = not_junk.repeat(len(pids), 1)
        counting[left_out[0], left_out[1]] = False
        return counts, _ranks(distances, counting, *of_matches).cpu().numpy()[valid]

    def _same_pid(self, pids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return row and column of all pairs of the same pid, by row and, within it, in gallery order."""
        starts, stops = (np.searchsorted(self._sorted_pids, pids, side=side) for side in ("left", "right"))
        counts = np.where(pids > DISTRACTOR_PID, stops - starts, 0)
        rows = np.repeat(np.arange(len(pids)), counts)
        within = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        return rows, self._by_pid[starts[rows] + within]


def _ranks(distances: Tensor, counting: Tensor, matches: Tensor, valid: Tensor) -> Tensor:
    """Return the ranks from 1 of the matches, ascending within a row, those that are not `valid` last."""
    values = distances.gather(1, matches)
    # At infinity, what does not count is nearer than no match. Images beyond the last match need no order
    # either, and sorting passes over what is equal.
    last = values.masked_fill(~valid, -torch.inf).amax(dim=1, keepdim=True)
    ordered = _sorted_rows(distances.where(counting & (distances <= last), torch.inf))
    before = torch.searchsorted(ordered, values)
    again = (torch.searchsorted(ordered, values, right=True) - before > 1) & valid
    columns = torch.arange(distances.shape[1], device=distances.device)
    rows, places = again.nonzero(as_tuple=True)
    for chunk in torch.arange(len(rows)).split(max(1, _VALUES_PER_CHUNK // len(columns))):
        row, place = rows[chunk], places[chunk]
        equal = (distances[row] == values[row, place, None]) & counting[row]
        before[row, place] += (equal & (columns < matches[row, place, None])).sum(dim=1)
    return before.add_(1).masked_fill_(~valid, len(columns) + 1).sort(dim=1).values


def _sorted_rows(values: Tensor) -> Tensor:
    """Return each row's values in ascending order; `values` may be overwritten."""
    if values.device.type != "cpu":
        return values.sort(dim=1).values
    # NumPy sorts values by vector instructions: 15 times as fast as PyTorch, which sorts their indices too.
    values.numpy().sort(axis=1)
    return values
