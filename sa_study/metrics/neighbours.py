"""Nearest neighbours, and the sets of those who are each other's: k-reciprocal sets and their expansion."""

from __future__ import annotations

import torch
from torch import Tensor

from sa_study.metrics.sparse import ENTRIES_PER_CHUNK


def nearest(block: Tensor, depth: int) -> Tensor:
    """Return the columns of each row's `depth` smallest values, equal ones in the order of the columns."""
    values, found = block.topk(min(depth + 1, block.shape[1]), largest=False)
    found = found[:, :depth].sort(dim=1).values
    ordered = found.gather(1, block.gather(1, found).argsort(dim=1, stable=True))
    if values.shape[1] > depth:
        # Where the cut falls between equal values, topk keeps any of them; only a full sort keeps the first.
        cut_in_tie = (values[:, depth - 1] == values[:, depth]).nonzero()[:, 0]
        ordered[cut_in_tie] = block[cut_in_tie].argsort(dim=1, stable=True)[:, :depth]
    return ordered


def expanded_sets(ranks: Tensor, k1: int) -> tuple[Tensor, Tensor]:
    """Return the sets R*: k-reciprocal sets, each joined by its members' half-size sets over 2/3 in it.

    Args:
        ranks: Each image's neighbours, nearest first; int64, shape (N, k1 + 1 or more, or N).
        k1: Size of the sets, the image itself not counted.

    Returns:
        The number of each set's members, int64, shape (N,); and the members, ascending within a set, of one
        set after another, int64.
    """
    near, half = ranks[:, : k1 + 1], ranks[:, : round(k1 / 2) + 1]
    nobody = len(ranks)
    sets, half_sets = _reciprocal(near, nobody), _reciprocal(half, nobody)
    lengths, members = [], []
    for rows in _row_chunks(near, half.shape[1]):
        joined = _joined(sets[rows], half_sets[near[rows]], nobody)
        keys = (joined + torch.arange(len(joined), device=joined.device)[:, None] * nobody)[joined < nobody]
        keys = torch.unique(keys)
        lengths.append((keys // nobody).bincount(minlength=len(joined)))
        members.append(keys % nobody)
    return torch.cat(lengths), torch.cat(members)


def _reciprocal(near: Tensor, nobody: int) -> Tensor:
    """Return the neighbours that have the image among theirs too, and `nobody` in the others' places."""
    sets = torch.full_like(near, nobody)
    for rows in _row_chunks(near, near.shape[1]):
        images = torch.arange(rows.start, rows.stop, device=near.device)
        mutual = (near[near[rows]] == images[:, None, None]).any(dim=2)
        sets[rows] = near[rows].where(mutual, nobody)
    return sets


def _joined(sets: Tensor, half_sets: Tensor, nobody: int) -> Tensor:
    """Return the sets joined by their members' half-size sets, some images more than once.

    Args:
        sets: Shape (R, k).
        half_sets: That of each neighbour, shape (R, k, h).
        nobody: What stands for no image.

    Returns:
        Shape (R, k + k·h).
    """
    ordered, asked = sets.sort(dim=1).values, half_sets.flatten(1)
    places = torch.searchsorted(ordered, asked).clamp_(max=sets.shape[1] - 1)
    inside = (ordered.gather(1, places) == asked).view_as(half_sets)
    there = half_sets < nobody
    enough = 3 * (inside & there).sum(dim=2) > 2 * there.sum(dim=2)
    accepted = enough & (sets < nobody)
    return torch.cat([sets, half_sets.where(accepted[:, :, None], nobody).flatten(1)], dim=1)


def _row_chunks(near: Tensor, each: int) -> list[slice]:
    """Cut rows into runs in which `each` entries per neighbour are about `ENTRIES_PER_CHUNK` in all."""
    step = max(1, ENTRIES_PER_CHUNK // (near.shape[1] * each))
    return [slice(start, min(start + step, len(near))) for start in range(0, len(near), step)]
