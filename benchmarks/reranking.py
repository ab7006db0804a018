"""How long re-ranking takes and how much memory, and whether it equals the usual dense computation.

Usage: python benchmarks/reranking.py [--full-numpy] [--json FILE]

The test set is that of benchmarks/ranking.py with 512 columns: 3,368 queries, 15,913 gallery images. Time and
memory are measured in a fresh process that does nothing else. Beside them all distances alone, and the usual
implementation with dense N×N arrays in numpy, written here, at a quarter of the size; with --full-numpy at
full size too (a minute, and 9 GB). Each rounds its distances in its own way: among as many images as at full
size, a few neighbours are so nearly equidistant that they change places, and with them a few results.
On a machine with a GPU, both devices. Needs torch and numpy.
"""

from __future__ import annotations

from statistics import median
from typing import Any

import numpy as np
import torch
from harness import (
    Table,
    alternating_seconds,
    argument_parser,
    finish,
    in_fresh_process,
    peak_memory,
    ratio,
    seconds,
    table,
)
from market import MARKET, market_like
from numpy.typing import NDArray

from sa_study.metrics.distances import squared_euclidean_blocks
from sa_study.metrics.ranking import ranking_metrics
from sa_study.metrics.reranking import rerank, rerank_features

COLUMNS = 512
FULL = MARKET["queries"], MARKET["gallery"]
SMALLER = 1400, 6600
DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]

Matrix = NDArray[np.float32]


def usual_rerank(query: Matrix, gallery: Matrix, k1: int = 20, k2: int = 6, weight: float = 0.3) -> Matrix:
    """Re-rank as is usual: N×N arrays of distances, ranks and encodings, and a loop over the images."""
    images = np.concatenate([query, gallery])
    norms = np.square(images).sum(axis=1)
    original = norms[:, None] + norms - 2 * (images @ images.T)
    original = np.maximum(original, 0) / original.max(axis=1, keepdims=True)
    ranks = np.argsort(original, axis=1)
    encodings = encode(original, ranks, k1)
    original = original[: len(query), len(query) :]
    if k2 > 1:
        encodings = np.stack([encodings[near].mean(axis=0) for near in ranks[:, :k2]])
    holders = [np.flatnonzero(column) for column in encodings.T]
    result: Matrix = np.empty_like(original)
    for number, of_query in enumerate(encodings[: len(query)]):
        shared = np.zeros(len(images), dtype=np.float32)
        for column in np.flatnonzero(of_query):
            held = holders[column]
            shared[held] += np.minimum(of_query[column], encodings[held, column])
        result[number] = 1 - (shared / (2 - shared))[len(query) :]
    result *= 1 - weight
    result += weight * original
    return result


def encode(original: Matrix, ranks: NDArray[np.int64], k1: int) -> Matrix:
    """The k-reciprocal encodings, a row at a time."""

    def reciprocal(image: int, depth: int) -> NDArray[np.int64]:
        near = ranks[image, :depth]
        mutual: NDArray[np.int64] = near[(ranks[near, :depth] == image).any(axis=1)]
        return mutual

    encodings = np.zeros_like(original)
    for image, row in enumerate(encodings):
        base = reciprocal(image, k1 + 1)
        members = base
        for other in base:
            candidate = reciprocal(other, round(k1 / 2) + 1)
            if 3 * len(np.intersect1d(candidate, base)) > 2 * len(candidate):
                members = np.append(members, candidate)
        members = np.unique(members)
        weights = np.exp(-original[image, members])
        row[members] = weights / weights.sum()
    return encodings


def ours(device: str, rounds: int) -> dict[str, Any]:
    """Time and memory at full size in this process, after a small call that warms up."""
    data = market_like(COLUMNS)
    query, gallery = data.on(device)
    rerank_features(query[:100], gallery[:400])
    with peak_memory() as memory:
        rerank_features(query, gallery)
    images = torch.cat([query, gallery])
    taken = alternating_seconds(
        {
            "reranking": lambda: rerank_features(query, gallery),
            "distances": lambda: [None for _ in squared_euclidean_blocks(images, images, reuse=True)],
        },
        rounds,
    )
    metrics = ranking_metrics(rerank_features(query, gallery), *data.labels)
    return {
        "device": device,
        "seconds": median(taken["reranking"]),
        "distance_seconds": median(taken["distances"]),
        "ratio_to_distances": ratio(taken["reranking"], taken["distances"]),
        "result_mib": len(query) * len(gallery) * 4 / 2**20,
        "reranked_mAP": metrics.mAP,
        **memory,
    }


def usual(queries: int, gallery: int) -> dict[str, Any]:
    """Time and memory of the usual implementation in this process, and ours beside it."""
    data = market_like(COLUMNS, queries, gallery)
    results: list[Matrix] = []
    with peak_memory() as memory:
        taken = seconds(lambda: results.append(usual_rerank(data.query, data.gallery)))
    ours_taken = seconds(lambda: results.append(rerank(data.query, data.gallery)))
    difference = np.abs(results[0] - results[1])
    return {
        "size": [queries, gallery],
        "seconds": taken,
        "our_seconds": ours_taken,
        "times_ours": taken / ours_taken,
        "largest_difference": float(difference.max()),
        "share_above_1e-5": float(np.mean(difference > 1e-5)),
        **memory,
    }


def tables(result: dict[str, Any]) -> list[Table]:
    columns = ("device", "re-ranking", "distances alone", "peak", "beyond inputs", "result", "on the GPU")
    rows = [
        (
            row["device"],
            f"{row['seconds']:.2f} s",
            f"{row['distance_seconds']:.2f} s",
            f"{row['peak_mib']:,.0f} MiB",
            f"{row['growth_mib']:,.0f} MiB",
            f"{row['result_mib']:,.0f} MiB",
            f"{row['gpu_mib']:,.0f} MiB" if "gpu_mib" in row else "",
        )
        for row in result["ours"]
    ]
    title = "Re-ranking {:,} × {:,}, {:,} columns".format(*FULL, COLUMNS)
    beside = [
        (
            "{:,} × {:,}".format(*row["size"]),
            f"{row['seconds']:.1f} s",
            f"{row['peak_mib']:,.0f} MiB",
            f"{row['our_seconds']:.2f} s",
            f"{row['times_ours']:.1f}×",
            f"{row['largest_difference']:.0e}",
            f"{row['share_above_1e-5']:.0e}",
        )
        for row in result["usual"]
    ]
    names = ("size", "dense numpy", "its peak", "ours", "times ours", "largest difference", "above 1e-5")
    return [table(title, columns, rows), table("Beside the usual implementation, on the CPU", names, beside)]


def main() -> None:
    parser = argument_parser(__doc__, "reranking")
    parser.add_argument("--full-numpy", action="store_true", help="time the usual one at full size too")
    parser.add_argument(
        "--rounds", type=int, default=3, help="of each timing at full size; the median counts"
    )
    chosen = parser.parse_args()
    sizes = [SMALLER, FULL] if chosen.full_numpy else [SMALLER]
    result = {
        "size": list(FULL),
        "columns": COLUMNS,
        "ours": [in_fresh_process(ours, device, chosen.rounds) for device in DEVICES],
        "usual": [in_fresh_process(usual, *size) for size in sizes],
    }
    finish(result, chosen.json, *tables(result))


if __name__ == "__main__":
    main()
