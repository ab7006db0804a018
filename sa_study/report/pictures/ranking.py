"""What the pictures of a ranking need, from one pass over the distances, block by block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sa_study.data.store import ImageStore
from sa_study.metrics.distances import nearest, squared_euclidean_blocks
from sa_study.metrics.ranking import DISTRACTOR_PID, RankingAccumulator, RankingMetrics
from sa_study.utils.progress import ProgressCallback

DEPTH = 10
"""Images of a ranked list."""

FINE_BINS = 8192
_COARSE_BINS = 60


@dataclass(eq=False)
class DistanceCounts:
    """Histograms of squared distances with bins so fine that any coarser ones can be made of them.

    Attributes:
        width: Width of a bin; bin i holds distances in [i·width, (i + 1)·width), the last one all beyond.
        matches: int64, shape (FINE_BINS,), pairs of the same identity and different cameras.
        others: The same for all other pairs that count.
    """

    width: float
    matches: NDArray[np.int64]
    others: NDArray[np.int64]

    @classmethod
    def empty(cls, query_features: Tensor, gallery_features: Tensor) -> DistanceCounts:
        """Counts of nothing yet, with bins up to the greatest distance that the lengths allow."""
        sets = (query_features, gallery_features)
        largest = sum(features.float().norm(dim=1).amax().item() for features in sets) ** 2
        width = largest / FINE_BINS if 0 < largest < float("inf") else 1.0
        return cls(width, *(np.zeros(FINE_BINS, np.int64) for _ in range(2)))

    def add(self, distances: Tensor, match: Tensor, other: Tensor) -> None:
        """Counts a block of distances by two masks of its shape."""
        for counts, mask in ((self.matches, match), (self.others, other)):
            bins = distances[mask].double().div_(self.width).long().clamp_(max=FINE_BINS - 1)
            counts += torch.bincount(bins, minlength=FINE_BINS).cpu().numpy()

    def median(self, counts: NDArray[np.int64]) -> float:
        """The median of one of the histograms, to half a bin."""
        return float((np.searchsorted(np.cumsum(counts), counts.sum() / 2) + 0.5) * self.width)

    def equal_error(self) -> tuple[float, float]:
        """The distance with equal shares of non-matches nearer and of matches farther, and that share."""
        missed = 1 - np.cumsum(self.matches) / max(1, self.matches.sum())
        accepted = np.cumsum(self.others) / max(1, self.others.sum())
        at = int(np.argmax(accepted >= missed))
        return (at + 1) * self.width, float((missed[at] + accepted[at]) / 2)

    def coarse(self) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
        """Edges and counts of about 60 bins over the distances that occur."""
        occupied = np.flatnonzero(self.matches + self.others)
        first, last = int(occupied[0]), int(occupied[-1])
        step = max(1, -(-(last - first + 1) // _COARSE_BINS))
        starts = np.arange(first // step * step, last + 1, step)
        matches, others = (np.add.reduceat(counts, starts) for counts in (self.matches, self.others))
        return np.append(starts, starts[-1] + step) * self.width, matches, others


@dataclass(frozen=True)
class Entry:
    """An image of a ranked list.

    Attributes:
        column: Which gallery image.
        distance: Squared Euclidean distance to the query.
        kind: `match`, `wrong`, or `junk` for one that does not count.
        rank: From 1, or 0 for junk.
    """

    column: int
    distance: float
    kind: str
    rank: int


@dataclass(frozen=True, eq=False)
class Ranking:
    """All queries against the gallery, by the market1501 protocol.

    Attributes:
        metrics: The figures over all queries, exact.
        counts: Histograms of the distances.
        matches: Number of each query's matches.
        first_column: The gallery image of the first match; anything for a query without one.
        first_distance: The first match's distance.
        lists: Each query's first images, junk among them, the nearest first.
    """

    metrics: RankingMetrics
    counts: DistanceCounts
    matches: NDArray[np.int64]
    first_column: NDArray[np.int64]
    first_distance: NDArray[np.float64]
    lists: list[list[Entry]]

    @property
    def average_precision(self) -> NDArray[np.float64]:
        """Average precision of each query, NaN for one without a match; shape (Q,)."""
        return self.metrics.queries.average_precision

    @property
    def first_match(self) -> NDArray[np.int64]:
        """Rank of each query's first match from 1, 0 for a query without one; shape (Q,)."""
        return self.metrics.queries.first_match


def rank(
    query_features: Tensor,
    gallery_features: Tensor,
    query: ImageStore,
    gallery: ImageStore,
    progress: ProgressCallback = lambda done, total: None,
) -> Ranking:
    """Ranks the gallery for every query, holding one block of distances at a time.

    Args:
        query_features: Real numbers, shape (Q, C), on any device; the work is done there.
        gallery_features: Real numbers, shape (G, C).
        query: The queries; only their labels are used.
        gallery: The gallery images.
        progress: Called with how many queries are done, and how many in all.

    Raises:
        DataError: No query has a match, or a feature is not a number.
    """
    accumulator = RankingAccumulator(gallery.pids, gallery.camids)
    counts = DistanceCounts.empty(query_features, gallery_features)
    blocks, lists = [], []
    for rows, distances in squared_euclidean_blocks(query_features, gallery_features):
        pids, camids = query.pids[rows], query.camids[rows]
        accumulator.add(distances, pids, camids)
        match, junk = _labels(pids, camids, gallery, distances.device)
        counts.add(distances, match, ~(match | junk))
        lists += _lists(distances, match, junk)
        blocks.append((match.sum(dim=1).cpu().numpy(), *_first(distances, match)))
        progress(rows.stop, len(query_features))
    matches, column, distance = (np.concatenate(part) for part in zip(*blocks, strict=True))
    return Ranking(accumulator.result(), counts, matches, column, distance, lists)


def _labels(
    pids: NDArray[np.int64], camids: NDArray[np.int64], gallery: ImageStore, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Which pairs are matches, and which do not count; bool, shape (B, G)."""
    same = (pids[:, None] == gallery.pids) & (gallery.pids > DISTRACTOR_PID)
    same_camera = camids[:, None] == gallery.camids
    masks = same & ~same_camera, (same & same_camera) | (gallery.pids < 0)
    match, junk = (torch.from_numpy(mask).to(device) for mask in masks)
    return match, junk


def _first(distances: Tensor, match: Tensor) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Column and distance of each query's nearest match, the first of equals."""
    found, columns = distances.where(match, torch.inf).min(dim=1)
    return columns.cpu().numpy(), found.double().cpu().numpy()


def _lists(distances: Tensor, match: Tensor, junk: Tensor) -> list[list[Entry]]:
    """The first images of each query's ranking, and the junk before the last of them."""
    masked = distances.where(~junk, torch.inf)
    columns = nearest(masked, min(DEPTH, masked.shape[1]))
    found, right = masked.gather(1, columns).tolist(), match.gather(1, columns).tolist()
    lists: list[list[Entry]] = []
    for row, counted in enumerate(columns.tolist()):
        ranked = enumerate(zip(counted, found[row], right[row], strict=True), 1)
        entries = [
            Entry(column, value, "match" if is_match else "wrong", rank)
            for rank, (column, value, is_match) in ranked
            if value < torch.inf
        ]
        last = (entries[-1].distance, entries[-1].column) if len(entries) == DEPTH else (torch.inf, 0)
        left_out = junk[row].nonzero()[:, 0]
        pairs = zip(left_out.tolist(), distances[row, left_out].tolist(), strict=True)
        entries += [Entry(column, value, "junk", 0) for column, value in pairs if (value, column) < last]
        lists.append(sorted(entries, key=lambda entry: (entry.distance, entry.column)))
    return lists
