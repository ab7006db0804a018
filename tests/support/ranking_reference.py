"""All ranking figures by their definitions, and cases to compare them on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sa_study.metrics.ranking import RankingMetrics

Case = tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]


def random_case(
    seed: int, queries: int = 40, gallery: int = 90, levels: int | None = None, dtype: str = "float32"
) -> Case:
    """Distances and labels with distractors, junk and no-match queries; few `levels` make many ties."""
    rng = np.random.default_rng(seed)
    distances = (
        rng.random((queries, gallery)) if levels is None else rng.integers(levels, size=(queries, gallery))
    )
    query_pids, gallery_pids = rng.integers(1, 14, queries), rng.integers(-1, 12, gallery)
    return (
        distances.astype(dtype),
        query_pids,
        gallery_pids,
        rng.integers(3, size=queries),
        rng.integers(3, size=gallery),
    )


def hits_of(distances: Any, pid: int, gallery_pids: Any, camid: int, gallery_camids: Any) -> list[bool]:
    """Whether each counting gallery image is a match, nearest first."""
    order = sorted(range(len(distances)), key=lambda g: (distances[g], g))
    counting = [
        g
        for g in order
        if gallery_pids[g] >= 0 and not (gallery_pids[g] == pid and gallery_camids[g] == camid)
    ]
    return [bool(pid > 0 and gallery_pids[g] == pid) for g in counting]


def plain_figures(
    distances: Any, query_pids: Any, gallery_pids: Any, query_camids: Any, gallery_camids: Any, topk: int
) -> dict[str, Any]:
    """All figures by the definitions: sort everything, then walk down each list."""
    cmc, allshots, long_cmc = np.zeros(topk), np.zeros(topk), np.zeros(50)
    precisions, trapezoids, penalties = [], [], []
    for row, pid, camid in zip(distances, query_pids, query_camids, strict=True):
        hits = hits_of(row, pid, gallery_pids, camid, gallery_camids)
        if not any(hits):
            continue
        seen, precision, trapezoid, before = 0, 0.0, 0.0, 1.0
        for place, hit in enumerate(hits, start=1):
            seen += hit
            if hit:
                precision += seen / place
                trapezoid += (before + seen / place) / 2
                allshots[place - seen :] += 1 / sum(hits)
                last = place
            before = seen / place
        first = hits.index(True)
        cmc[first:] += 1
        long_cmc[first:] += 1
        precisions.append(precision / seen)
        trapezoids.append(trapezoid / seen)
        penalties.append(seen / last)
    valid = len(precisions)
    return {
        "cmc": cmc / valid,
        "allshots": allshots / valid,
        "rank1": long_cmc[0] / valid,
        "rank5": long_cmc[4] / valid,
        "rank10": long_cmc[9] / valid,
        "mAP": np.mean(precisions),
        "mAP_trapezoid": np.mean(trapezoids),
        "mINP": np.mean(penalties),
        "num_valid_queries": valid,
        "num_queries_without_match": len(distances) - valid,
    }


def assert_figures(metrics: RankingMetrics, expected: dict[str, Any]) -> None:
    for name, value in expected.items():
        np.testing.assert_allclose(getattr(metrics, name), value, rtol=1e-12, atol=1e-12, err_msg=name)
