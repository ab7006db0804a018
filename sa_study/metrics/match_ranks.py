"""The ranks of each query's true matches, exact: only these leave the distances' device.

A match stands behind every gallery image that counts and is nearer, or as near and earlier in the gallery.
How many are nearer is looked up in the row's sorted values: sorting values alone, without the order that
belongs to them, costs a fraction of an argsort. Only where a match's distance occurs again does order count.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

VALUES_PER_STEP = 2**22
"""Of distances: 16 MiB, which stay in a cache, and which the C library gives out again without new pages."""


def ranks_of_matches(
    distances: Tensor, junk: Tensor, same_view: Tensor, matches: Tensor, valid: Tensor
) -> Tensor:
    """The ranks from 1 of the matches, ascending within a row, those that are not `valid` last.

    Args:
        distances: Floats without NaN, shape (B, G).
        junk: Columns that do not count in any row.
        same_view: Rows and columns of the places that do not count, shape (2, P).
        matches: Columns of each row's matches, shape (B, M).
        valid: Which of them are meant, shape (B, M); a row with fewer than M has others for nothing.

    Returns:
        Integers, shape (B, M).
    """
    values = distances.gather(1, matches)
    first = values.masked_fill(~valid, torch.inf).amin(dim=1, keepdim=True)
    last = values.masked_fill(~valid, -torch.inf).amax(dim=1, keepdim=True)
    # Images ahead of the first match and beyond the last need no order: sorting passes over what is equal.
    ahead = first.nextafter(torch.full_like(first, -torch.inf))
    beyond = last.nextafter(torch.full_like(last, torch.inf))
    ordered, before = _ordered_and_nearer(distances, ahead, beyond, junk, same_view, values)
    following = (before + 1).clamp_(max=distances.shape[1] - 1)  # of a row's last place, that place itself
    again = (ordered.gather(1, following) == values) & (following > before) & valid
    rows, places = again.nonzero(as_tuple=True)
    before[rows, places] += _equal_before(distances, junk, same_view, rows, matches[rows, places])
    return before.add_(1).masked_fill_(~valid, distances.shape[1] + 1).sort(dim=1).values


def _ordered_and_nearer(
    distances: Tensor, ahead: Tensor, beyond: Tensor, junk: Tensor, same_view: Tensor, values: Tensor
) -> tuple[Tensor, Tensor]:
    """Each row in ascending order, and how many images are nearer than each of its `values`.

    What is nearer than `ahead` or farther than `beyond` is put there, what does not count at infinity: nearer
    than no match.
    """
    if not distances.is_cpu:
        ordered = distances.clamp(ahead, beyond)
        ordered[:, junk] = ordered[same_view[0], same_view[1]] = torch.inf
        ordered = ordered.sort(dim=1).values
        return ordered, torch.searchsorted(ordered, values)
    # NumPy sorts values by vector instructions: 15 times as fast as PyTorch, which sorts their indices too.
    rows = np.clip(distances.numpy(), ahead.numpy(), beyond.numpy())
    rows[:, junk.numpy()] = rows[same_view[0].numpy(), same_view[1].numpy()] = np.inf
    rows.sort(axis=1)
    before = [row.searchsorted(wanted) for row, wanted in zip(rows, values.numpy(), strict=True)]
    return torch.from_numpy(rows), torch.from_numpy(np.stack(before))


def _equal_before(
    distances: Tensor, junk: Tensor, same_view: Tensor, rows: Tensor, matches: Tensor
) -> Tensor:
    """How many images that count are as near as a match, a column in each row, and earlier in the gallery.

    A row, in ascending order, has as many entries as it has such matches.
    """
    if distances.is_cpu:
        arrays = (some.numpy() for some in (distances, junk, same_view, rows, matches))
        return torch.from_numpy(_equal_before_in_numpy(*arrays))
    counted = [torch.empty(0, dtype=torch.int64, device=distances.device)]
    for chunk in torch.arange(len(rows)).split(max(1, VALUES_PER_STEP // distances.shape[1])):
        row, match = rows[chunk], matches[chunk]
        found, wanted = distances[row], distances[row, match]
        of_row, pair = (row[:, None] == same_view[0]).nonzero(as_tuple=True)
        found[:, junk] = found[of_row, same_view[1][pair]] = torch.nan
        earlier = torch.arange(found.shape[1], device=found.device) < match[:, None]
        counted.append(((found == wanted[:, None]) & earlier).sum(dim=1))
    return torch.cat(counted)


def _equal_before_in_numpy(
    distances: NDArray[Any],
    junk: NDArray[np.int64],
    same_view: NDArray[np.int64],
    rows: NDArray[np.int64],
    matches: NDArray[np.int64],
) -> NDArray[np.int64]:
    counted = np.empty(len(rows), dtype=np.int64)
    last, values = -1, distances[:0]
    for place, (row, match) in enumerate(zip(rows.tolist(), matches.tolist(), strict=True)):
        if row != last:
            last, values = row, distances[row].copy()
            values[junk] = values[same_view[1][same_view[0] == row]] = np.nan
        counted[place] = np.count_nonzero(values[:match] == distances[row, match])
    return counted
