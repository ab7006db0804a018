"""Ranking figures as usually published: query by query, and each figure with an argsort of its own."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from market import TestSet
from numpy.typing import NDArray


class Hits(NamedTuple):
    """One query's counting gallery images, nearest first: whether each matches, and their pids."""

    matches: NDArray[np.bool_]
    pids: NDArray[np.int64]


def sorted_hits(distances: NDArray[np.float32], data: TestSet, query: int) -> Hits:
    order = np.argsort(distances[query], kind="stable")
    pids, camids = data.gallery_pids[order], data.gallery_camids[order]
    same_pid = pids == data.query_pids[query]
    counts = ~(same_pid & (camids == data.query_camids[query]))
    return Hits(same_pid[counts], pids[counts])


def average_precision(distances: NDArray[np.float32], data: TestSet, query: int) -> float | None:
    found = np.flatnonzero(sorted_hits(distances, data, query).matches) + 1
    return float(np.mean(np.arange(1, len(found) + 1) / found)) if len(found) else None


def first_match(distances: NDArray[np.float32], data: TestSet, query: int) -> int | None:
    """Rank of the first match less one: the Market-1501 CMC."""
    found = np.flatnonzero(sorted_hits(distances, data, query).matches)
    return int(found[0]) if len(found) else None


def all_shots(distances: NDArray[np.float32], data: TestSet, query: int) -> list[int]:
    """Ranks of all matches, less the matches before each."""
    found = np.flatnonzero(sorted_hits(distances, data, query).matches)
    return [int(rank) - before for before, rank in enumerate(found)]


def single_shot(distances: NDArray[np.float32], data: TestSet, query: int, repeats: int = 10) -> list[int]:
    """Ranks of the match in galleries of one image an identity, drawn ten times: the CUHK03 CMC."""
    hits = sorted_hits(distances, data, query)
    rng = np.random.default_rng(query)
    places: dict[int, list[int]] = {}
    for place, pid in enumerate(hits.pids):
        places.setdefault(int(pid), []).append(place)
    ranks = []
    for _ in range(repeats):
        drawn = np.sort([members[rng.integers(len(members))] for members in places.values()])
        ranks += np.flatnonzero(hits.matches[drawn]).tolist()
    return ranks


def plain_evaluator(distances: NDArray[np.float32], data: TestSet) -> tuple[float, float]:
    """Compute mAP, three CMC variants query by query; two of these only for the time they take.

    Returns:
        The mAP, and rank-1 of the Market-1501 CMC.
    """
    precisions, firsts = [], []
    for query in range(len(distances)):
        precisions.append(average_precision(distances, data, query))
        firsts.append(first_match(distances, data, query))
        all_shots(distances, data, query)
        single_shot(distances, data, query)
    valid = [precision for precision in precisions if precision is not None]
    return float(np.mean(valid)), sum(first == 0 for first in firsts) / len(valid)


def scikit_learn_map(distances: NDArray[np.float32], data: TestSet) -> float | None:
    """The mAP by scikit-learn, or None where it is not installed."""
    try:
        from sklearn.metrics import average_precision_score
    except ImportError:
        return None
    hits = [sorted_hits(distances, data, query).matches for query in range(len(distances))]
    return float(np.mean([average_precision_score(hit, -np.arange(len(hit))) for hit in hits if hit.any()]))
