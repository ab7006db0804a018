"""One pass over the distances, block by block: what every picture of a ranking needs of each query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sa_study.metrics.distances import squared_euclidean_blocks
from sa_study.metrics.neighbours import nearest
from sa_study.metrics.positions import DISTRACTOR_PID, MatchPositions
from sa_study.metrics.ranking import RankingAccumulator, RankingMetrics
from sa_study.report.pictures.counts import DistanceCounts
from sa_study.utils.progress import ProgressCallback

DEPTH = 10
"""Images of a ranked list."""

TOPK = 50
"""Ranks of the CMC curve."""


class Labelled(Protocol):
    """Images with their labels, such as an `ImageStore`."""

    @property
    def pids(self) -> NDArray[np.int64]:
        """Identities."""

    @property
    def camids(self) -> NDArray[np.int64]:
        """Cameras from 0."""


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
        counts: How often which distance occurs.
        average_precision: Mean of k / pos_k of each query, NaN for one without a match, shape (Q,).
        matches: Number of each query's matches.
        first_match: Rank of the first one from 1, 0 for a query without.
        first_column: The gallery image of that match; anything for a query without.
        first_distance: Its distance.
        lists: Each query's first images, junk among them, the nearest first.
    """

    metrics: RankingMetrics
    counts: DistanceCounts
    average_precision: NDArray[np.float64]
    matches: NDArray[np.int64]
    first_match: NDArray[np.int64]
    first_column: NDArray[np.int64]
    first_distance: NDArray[np.float64]
    lists: list[list[Entry]]


def rank(
    query_features: Tensor,
    gallery_features: Tensor,
    query: Labelled,
    gallery: Labelled,
    progress: ProgressCallback = lambda done, total: None,
) -> Ranking:
    """Ranks the gallery for every query, holding one block of distances at a time.

    Args:
        query_features: Real numbers, shape (Q, C), on any device; the work is done there.
        gallery_features: Real numbers, shape (G, C).
        query: Labels of the queries.
        gallery: Labels of the gallery images.
        progress: Told how many queries are done, and how many there are.

    Raises:
        DataError: No query has a match, or a feature is not a number.
    """
    accumulator = RankingAccumulator(gallery.pids, gallery.camids, TOPK)
    positions = MatchPositions(gallery.pids, gallery.camids)
    counts = DistanceCounts.empty(query_features, gallery_features)
    blocks, lists = [], []
    for rows, distances in squared_euclidean_blocks(query_features, gallery_features):
        pids, camids = query.pids[rows], query.camids[rows]
        accumulator.add(distances, pids, camids)
        match, junk = _labels(pids, camids, gallery, distances.device)
        counts.add(distances, match, ~(match | junk))
        lists += _lists(distances, match, junk)
        found, ranks = positions.find(distances, pids, camids)
        blocks.append((found, *_precision(found, ranks), *_first(distances, match)))
        progress(rows.stop, len(query_features))
    matches, precision, first, column, distance = (np.concatenate(part) for part in zip(*blocks, strict=True))
    return Ranking(accumulator.result(), counts, precision, matches, first, column, distance, lists)


def _labels(
    pids: NDArray[np.int64], camids: NDArray[np.int64], gallery: Labelled, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Which pairs are matches, and which do not count; bool, shape (B, G)."""
    same = (pids[:, None] == gallery.pids) & (gallery.pids > DISTRACTOR_PID)
    same_camera = camids[:, None] == gallery.camids
    masks = same & ~same_camera, (same & same_camera) | (gallery.pids < 0)
    match, junk = (torch.from_numpy(mask).to(device) for mask in masks)
    return match, junk


def _precision(
    counts: NDArray[np.int64], ranks: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Average precision and rank of the first match of each query, from the ranks of its matches."""
    each = np.split(ranks, np.cumsum(counts)[:-1])
    precision = [np.mean(np.arange(1, len(pos) + 1) / pos) if len(pos) else np.nan for pos in each]
    return np.array(precision), np.array([pos[0] if len(pos) else 0 for pos in each], np.int64)


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
        entries = [
            Entry(column, value, "match" if is_match else "wrong", rank)
            for rank, (column, value, is_match) in enumerate(
                zip(counted, found[row], right[row], strict=True), 1
            )
            if value < torch.inf
        ]
        last = (entries[-1].distance, entries[-1].column) if len(entries) == DEPTH else (torch.inf, 0)
        left_out = junk[row].nonzero()[:, 0]
        for column, value in zip(left_out.tolist(), distances[row, left_out].tolist(), strict=True):
            if (value, column) < last:
                entries.append(Entry(column, value, "junk", 0))
        lists.append(sorted(entries, key=lambda entry: (entry.distance, entry.column)))
    return lists
