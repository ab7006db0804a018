"""CMC and average precision by the Market-1501 protocol, exact.

Every figure follows from the ranks of a query's true matches, which `match_ranks` finds.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sa_study.metrics import match_ranks
from sa_study.metrics.arrays import Numbers, as_tensor, label_vectors, real_array
from sa_study.metrics.query_scores import QueryScores
from sa_study.utils.errors import ConfigError, DataError

DISTRACTOR_PID = 0


@dataclass(frozen=True, eq=False)
class RankingMetrics:
    """Figures of a ranking, as fractions in [0, 1]; queries without a match count in none of them.

    With pos_k the rank (from 1) of a query's k-th true match among the gallery images that count:

    Attributes:
        cmc: float64, shape (topk,); cmc[r - 1] is the share of queries whose first match is at rank ≤ r.
        allshots: float64, shape (topk,); as `cmc`, but each of n matches counts 1/n at rank pos_k − k + 1.
        rank1: cmc at rank 1.
        rank5: cmc at rank 5, whatever `topk`.
        rank10: cmc at rank 10, whatever `topk`.
        mAP: Mean over queries of mean_k(k / pos_k), as scikit-learn defines average precision.
        mAP_trapezoid: Mean over queries of mean_k of (k / pos_k + (k − 1) / (pos_k − 1)) / 2, the latter term
            being 1 at rank 1: the data set's own script.
        mINP: Mean over queries of n / pos_n (Ye et al., "Deep Learning for Person Re-identification", 2021).
        num_valid_queries: Queries with at least one match: those that the figures are means over.
        num_queries_without_match: Queries left out.
        queries: What each query scored, those without a match among them.
    """

    cmc: NDArray[np.float64]
    allshots: NDArray[np.float64]
    rank1: float
    rank5: float
    rank10: float
    mAP: float
    mAP_trapezoid: float
    mINP: float
    num_valid_queries: int
    num_queries_without_match: int
    queries: QueryScores

    @property
    def allshots_rank1(self) -> float:
        """The all-shots curve at rank 1."""
        return float(self.allshots[0])


class RankingAccumulator:
    """Takes the distance matrix in blocks of queries, so that it never has to exist as a whole.

    Gallery images with the query's pid *and* camid are left out of its ranking. Distractors (pid 0) are
    ranked but match no query; junk (negative pid) is left out of every ranking. Equal distances keep the
    gallery order.

    Args:
        gallery_pids: Integers, shape (G,).
        gallery_camids: Integers, shape (G,).
        topk: Length of the CMC curves, at least 1; may exceed G.

    Raises:
        DataError: An array is no vector of integers, lengths differ, or the gallery is empty.
        ConfigError: `topk` is below 1.
    """

    def __init__(self, gallery_pids: Numbers, gallery_camids: Numbers, topk: int = 50) -> None:
        if topk < 1:
            raise ConfigError(f"topk is {topk}; it must be at least 1: the length of the CMC curve")
        self._pids, self._camids = label_vectors("gallery", gallery_pids, gallery_camids)
        if not self._pids.size:
            raise DataError("The gallery is empty: ranking needs at least one gallery image")
        self._topk = topk
        self._by_pid = np.argsort(self._pids, kind="stable")
        self._sorted_pids = self._pids[self._by_pid]
        self._query_pids: list[NDArray[np.int64]] = []
        self._counts: list[NDArray[np.int64]] = []
        self._ranks: list[NDArray[np.int64]] = []

    def add(self, distances: Numbers, query_pids: Numbers, query_camids: Numbers) -> None:
        """Rank the gallery for some more queries.

        Args:
            distances: Real numbers, shape (B, G), in any unit; smaller is nearer. float32 and float64 are
                compared as they are, other types as float64; a tensor's on its device. Left unchanged.
            query_pids: Integers, shape (B,).
            query_camids: Integers, shape (B,).

        Raises:
            DataError: Shapes do not fit each other or the gallery, or a distance is NaN.
        """
        pids, camids = label_vectors("query", query_pids, query_camids)
        expected = (
            f"a matrix of real numbers, one row for each of the {pids.size} queries and one column for each"
            f" of the {self._pids.size} gallery images"
        )
        matrix = real_array("distances", distances, expected, (pids.size, self._pids.size))
        first_query = sum(counts.size for counts in self._counts)
        # NumPy works in the thread that calls it. PyTorch's own threads would stay busy waiting after each of
        # its operations, and keep cores from the threads that sort.
        on_cpu = not isinstance(matrix, Tensor) or matrix.is_cpu
        threads = torch.get_num_threads() if on_cpu else 1
        step = max(1, match_ranks.VALUES_PER_STEP // threads // self._pids.size)

        def rank(start: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
            some = slice(start, start + step)
            rows = as_tensor(matrix[some], torch.float32, torch.float64)
            _refuse_nan(rows, first_query + start)
            return self._match_ranks(rows, pids[some], camids[some])

        starts = range(0, pids.size, step)
        with ThreadPoolExecutor(threads) as pool:
            found = list(pool.map(rank, starts) if threads > 1 else map(rank, starts))
        self._query_pids.append(pids)
        self._counts += [counts for counts, _ in found]
        self._ranks += [ranks for _, ranks in found]

    def result(self) -> RankingMetrics:
        """Return the figures over all queries added so far.

        Raises:
            DataError: No query has a match.
        """
        counts = np.concatenate([np.empty(0, dtype=np.int64), *self._counts])
        if not counts.any():
            raise DataError(
                f"None of the {counts.size} queries has a match in the gallery (same pid above 0,"
                " other camid): no figure can be computed; check the pids and camids"
            )
        pids = np.concatenate(self._query_pids)
        return _figures(np.concatenate(self._ranks), counts, pids, self._topk)

    def _match_ranks(
        self, distances: Tensor, pids: NDArray[np.int64], camids: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The number of each query's matches, and their ranks from 1, ascending, query after query."""
        rows, columns = self._same_pid(pids)
        elsewhere = self._camids[columns] != camids[rows]
        counts = np.bincount(rows[elsewhere], minlength=len(pids))
        # A column a match, at least one; queries with fewer matches look up the rest for nothing.
        valid = np.arange(counts.max(initial=1)) < counts[:, None]
        matches = np.zeros(valid.shape, dtype=np.int64)
        matches[valid] = columns[elsewhere]
        junk, same_view = np.flatnonzero(self._pids < 0), np.stack([rows[~elsewhere], columns[~elsewhere]])
        left_out = (torch.from_numpy(array).to(distances.device) for array in (junk, same_view))
        of_matches = (torch.from_numpy(array).to(distances.device) for array in (matches, valid))
        return counts, match_ranks.ranks_of_matches(distances, *left_out, *of_matches).cpu().numpy()[valid]

    def _same_pid(self, pids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Row and column of all pairs of the same pid, by row and, within it, in gallery order."""
        starts, stops = (np.searchsorted(self._sorted_pids, pids, side=side) for side in ("left", "right"))
        counts = np.where(pids > DISTRACTOR_PID, stops - starts, 0)
        rows = np.repeat(np.arange(len(pids)), counts)
        within = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        return rows, self._by_pid[starts[rows] + within]


def ranking_metrics(
    distances: Numbers,
    query_pids: Numbers,
    gallery_pids: Numbers,
    query_camids: Numbers,
    gallery_camids: Numbers,
    topk: int = 50,
) -> RankingMetrics:
    """Rank the gallery for every query and return the figures; the protocol is `RankingAccumulator`'s.

    Args:
        distances: Real numbers, shape (Q, G), an array or a tensor on any device; smaller is nearer.
        query_pids: Integers, shape (Q,).
        gallery_pids: Integers, shape (G,).
        query_camids: Integers, shape (Q,).
        gallery_camids: Integers, shape (G,).
        topk: Length of the CMC curves, at least 1; may exceed G.

    Raises:
        DataError: Shapes do not fit, a distance is NaN, or no query has a match.
        ConfigError: `topk` is below 1.
    """
    accumulator = RankingAccumulator(gallery_pids, gallery_camids, topk)
    accumulator.add(distances, query_pids, query_camids)
    return accumulator.result()


def _refuse_nan(rows: Tensor, first_query: int) -> None:
    largest = torch.from_numpy(rows.numpy().max(axis=1)) if rows.is_cpu else rows.amax(dim=1)
    if not largest.isnan().any():
        return
    missing = rows.isnan().nonzero()
    row, column = missing[0].tolist()
    raise DataError(
        f"the distance of query {first_query + row} to gallery image {column} is NaN, as are"
        f" {len(missing) - 1} more; only numbers can be ranked: check the features"
    )


def _figures(
    pos: NDArray[np.int64], of_query: NDArray[np.int64], pids: NDArray[np.int64], topk: int
) -> RankingMetrics:
    counts = of_query[of_query > 0]
    starts = np.cumsum(counts) - counts
    k = np.arange(1, pos.size + 1) - np.repeat(starts, counts)
    precision = k / pos
    precision_before = np.divide(k - 1, pos - 1, out=np.ones(pos.size), where=pos > 1)
    first, last = pos[starts], pos[starts + counts - 1]

    def per_query(of_match: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.add.reduceat(of_match, starts) / counts)

    average_precision, first_match = np.full(of_query.size, np.nan), np.zeros(of_query.size, np.int64)
    average_precision[of_query > 0] = per_query(precision)
    first_match[of_query > 0] = first
    shots = np.bincount(pos - k, weights=np.repeat(1 / counts, counts), minlength=topk)[:topk]
    return RankingMetrics(
        cmc=np.mean(first[:, None] <= np.arange(1, topk + 1), axis=0),
        allshots=np.cumsum(shots) / counts.size,
        rank1=float(np.mean(first <= 1)),
        rank5=float(np.mean(first <= 5)),
        rank10=float(np.mean(first <= 10)),
        mAP=float(np.mean(average_precision[of_query > 0])),
        mAP_trapezoid=float(np.mean(per_query((precision + precision_before) / 2))),
        mINP=float(np.mean(counts / last)),
        num_valid_queries=counts.size,
        num_queries_without_match=of_query.size - counts.size,
        queries=QueryScores(pids, average_precision, first_match),
    )
