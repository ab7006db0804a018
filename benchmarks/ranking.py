"""How long the ranking figures take beside one argsort of the same distances, and whether they are right.

Usage: python benchmarks/ranking.py [--json FILE]

Synthetic clustered features with the numbers of Market-1501's test set: 3,368 queries of 750 identities and 6
cameras, 15,913 gallery images of which 2,798 are distractors. All times are of one process, taken in turns.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sklearn.metrics import average_precision_score

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sa_study.metrics import RankingMetrics, ranking_metrics, squared_euclidean_blocks

IDENTITIES, CAMERAS, DISTRACTORS = 750, 6, 2798


class TestSet(NamedTuple):
    """Features (float32, unit length) and labels of queries and gallery."""

    query: NDArray[np.float32]
    gallery: NDArray[np.float32]
    query_pids: NDArray[np.int64]
    gallery_pids: NDArray[np.int64]
    query_camids: NDArray[np.int64]
    gallery_camids: NDArray[np.int64]


def market_like(columns: int, queries: int = 3368, gallery: int = 15913, seed: int = 0) -> TestSet:
    """Draw a cluster an identity, shifted by camera and blurred; each distractor is a cluster of its own."""
    rng = np.random.default_rng(seed)
    pairs = rng.permutation(IDENTITIES * CAMERAS)[:queries]
    query_pids, query_camids = pairs // CAMERAS + 1, pairs % CAMERAS
    distractors = gallery * DISTRACTORS // 15913
    gallery_pids = rng.permutation(
        np.concatenate([np.zeros(distractors, int), rng.integers(1, IDENTITIES + 1, gallery - distractors)])
    )
    gallery_camids = rng.integers(CAMERAS, size=gallery)
    centres = rng.standard_normal((IDENTITIES + 1, columns), dtype=np.float32)
    shifts = 0.7 * rng.standard_normal((CAMERAS, columns), dtype=np.float32)

    def features(pids: NDArray[np.int64], camids: NDArray[np.int64]) -> NDArray[np.float32]:
        images = 1.6 * rng.standard_normal((len(pids), columns), dtype=np.float32)
        images += shifts[camids]
        images += np.where(pids[:, None] > 0, centres[pids], 0)
        images[pids == 0] += rng.standard_normal((np.count_nonzero(pids == 0), columns), dtype=np.float32)
        images /= np.linalg.norm(images, axis=1, keepdims=True)
        return images

    return TestSet(
        features(query_pids, query_camids),
        features(gallery_pids, gallery_camids),
        query_pids,
        gallery_pids,
        query_camids,
        gallery_camids,
    )


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def average_precisions(distances: NDArray[np.float32], data: TestSet) -> list[float]:
    """Each query's average precision by scikit-learn, given stable ranks: it takes equal scores as one."""
    scores = []
    for row, pid, camid in zip(distances, data.query_pids, data.query_camids, strict=False):
        counts = ~((data.gallery_pids == pid) & (data.gallery_camids == camid))
        hits = data.gallery_pids[counts] == pid
        ranks = np.argsort(np.argsort(row[counts], kind="stable"))
        if hits.any():
            scores.append(float(average_precision_score(hits, -ranks)))
    return scores


def figures(distances: NDArray[np.float32], data: TestSet) -> RankingMetrics:
    count = len(distances)
    return ranking_metrics(
        distances, data.query_pids[:count], data.gallery_pids, data.query_camids[:count], data.gallery_camids
    )


def measure(repeats: int, checked: int) -> dict[str, Any]:
    data = market_like(columns=128)
    blocks = squared_euclidean_blocks(torch.from_numpy(data.query), torch.from_numpy(data.gallery))
    distances = np.concatenate([block.numpy() for _, block in blocks])
    metrics = figures(distances, data)
    sorting, ranking = [], []
    for _ in range(repeats):
        sorting.append(seconds(lambda: np.argsort(distances, axis=1)))
        ranking.append(seconds(lambda: figures(distances, data)))
    subset = distances[:checked]
    start = time.perf_counter()
    expected = average_precisions(subset, data)
    return {
        "distances": list(distances.shape),
        "argsort_seconds": statistics.median(sorting),
        "figures_seconds": statistics.median(ranking),
        "ratio": statistics.median(ranking) / statistics.median(sorting),
        "ratio_worst_round": max(r / s for r, s in zip(ranking, sorting, strict=True)),
        "sklearn_queries": checked,
        "sklearn_seconds": time.perf_counter() - start,
        "sklearn_difference": abs(float(np.mean(expected)) - figures(subset, data).mAP),
        "mAP": metrics.mAP,
        "rank1": metrics.rank1,
        "repeats": repeats,
        "versions": {"python": platform.python_version(), "numpy": np.__version__},
        "machine": platform.processor() or platform.machine(),
    }


def table(result: dict[str, Any]) -> Table:
    queries, gallery = result["distances"]
    view = Table(title=f"Ranking figures from given float32 distances, {queries:,} × {gallery:,}")
    view.add_column("what")
    view.add_column("value", justify="right")
    view.add_row(
        f"numpy.argsort(distances, axis=1), median of {result['repeats']}",
        f"{result['argsort_seconds']:.2f} s",
    )
    view.add_row("ranking_metrics, all figures", f"{result['figures_seconds']:.2f} s")
    view.add_row("ratio (must be < 0.25)", f"{result['ratio']:.3f}")
    view.add_row("ratio in the worst round", f"{result['ratio_worst_round']:.3f}")
    view.add_row(
        f"argsort and scikit-learn's AP, {result['sklearn_queries']} queries",
        f"{result['sklearn_seconds']:.2f} s",
    )
    view.add_row("difference of mAP to scikit-learn's on these", f"{result['sklearn_difference']:.1e}")
    view.add_row("mAP / rank-1 of the synthetic features", f"{result['mAP']:.1%} / {result['rank1']:.1%}")
    return view


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, default=Path("runs/benchmarks/ranking.json"), metavar="FILE")
    parser.add_argument("--repeats", type=int, default=3, help="rounds of each timing; the median counts")
    parser.add_argument("--checked", type=int, default=300, help="queries compared with scikit-learn")
    options = parser.parse_args()
    result = measure(options.repeats, options.checked)
    Console().print(table(result))
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
