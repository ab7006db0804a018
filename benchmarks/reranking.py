"""How long re-ranking takes and how much memory, and whether it equals a plain dense computation.

Usage: python benchmarks/reranking.py [--json FILE]

The synthetic test set is that of benchmarks/ranking.py with 512 columns. Time and memory are measured in a
fresh process that does nothing else: its peak resident set as getrusage has it, before and after the call.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import torch
from numpy.typing import NDArray
from ranking import market_like
from rich.console import Console
from rich.table import Table
from scipy.spatial.distance import cdist

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sa_study.metrics import ranking_metrics, rerank, squared_euclidean_blocks

QUERIES, GALLERY, COLUMNS = 3368, 15913, 512


def plain_rerank(
    query: NDArray[np.float32], gallery: NDArray[np.float32], k1: int = 20, k2: int = 6, weight: float = 0.3
) -> NDArray[np.float64]:
    """Re-rank with dense N×N matrices in float64, as the paper writes it."""
    images = np.concatenate([query, gallery]).astype(np.float64)
    original: NDArray[np.float64] = cdist(images, images, "sqeuclidean")
    original /= original.max(axis=1, keepdims=True)
    ranks = np.argsort(original, axis=1, kind="stable")

    def mutual(depth: int) -> NDArray[np.bool_]:
        near = np.zeros(original.shape, dtype=bool)
        np.put_along_axis(near, ranks[:, :depth], True, axis=1)
        return near & near.T

    sets, half_sets = mutual(k1 + 1), mutual(round(k1 / 2) + 1)
    expanded = sets.copy()
    for image, members in enumerate(sets):
        for candidate in half_sets[members]:
            if np.sum(candidate & members) > 2 / 3 * np.sum(candidate):
                expanded[image] |= candidate
    encodings = np.where(expanded, np.exp(-original), 0)
    encodings /= encodings.sum(axis=1, keepdims=True)
    encodings = encodings[ranks[:, :k2]].mean(axis=1)
    of_queries, of_gallery = encodings[: len(query)], encodings[len(query) :]
    minima = np.stack([np.minimum(of_query, of_gallery).sum(axis=1) for of_query in of_queries])
    jaccard: NDArray[np.float64] = 1 - minima / (2 - minima)
    return (1 - weight) * jaccard + weight * original[: len(query), len(query) :]


def peak_mib() -> float:
    # Linux counts kibibytes, macOS bytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def measure(threads: int) -> dict[str, Any]:
    torch.set_num_threads(threads)
    imports = peak_mib()
    data = market_like(COLUMNS, QUERIES, GALLERY)
    inputs = peak_mib()
    start, start_cpu = time.perf_counter(), time.process_time()
    distances = rerank(data.query, data.gallery)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - start_cpu
    total = peak_mib()
    images = torch.from_numpy(np.concatenate([data.query, data.gallery]))
    start = time.perf_counter()
    for _ in squared_euclidean_blocks(images, images):
        pass
    distance_seconds = time.perf_counter() - start
    metrics = ranking_metrics(distances, *data[2:])
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "distance_seconds": distance_seconds,
        "ratio_to_distances": seconds / distance_seconds,
        "peak_mib": total,
        "peak_mib_of_imports": imports,
        "peak_mib_with_inputs": inputs,
        "growth_mib": total - inputs,
        "output_mib": distances.nbytes / 2**20,
        "reranked_mAP": metrics.mAP,
    }


def compare(queries: int, gallery: int) -> dict[str, Any]:
    data = market_like(COLUMNS, queries, gallery)
    start = time.perf_counter()
    expected = plain_rerank(data.query, data.gallery)
    middle = time.perf_counter()
    result = rerank(data.query, data.gallery)
    return {
        "small_size": [queries, gallery],
        "small_plain_seconds": middle - start,
        "small_seconds": time.perf_counter() - middle,
        "small_difference": float(np.abs(result - expected).max()),
    }


def table(result: dict[str, Any]) -> Table:
    size = "{:,} × {:,}".format(*result["size"])
    small = "{:,} × {:,}".format(*result["small_size"])
    view = Table(title=f"Re-ranking {size}, {COLUMNS} columns, {result['threads']} threads")
    view.add_column("what")
    view.add_column("value", justify="right")
    view.add_row("time (must be < 20 s)", f"{result['seconds']:.1f} s")
    view.add_row("  processor time, all threads", f"{result['cpu_seconds']:.1f} s")
    view.add_row("all distances alone, in blocks", f"{result['distance_seconds']:.1f} s")
    view.add_row("  ratio of re-ranking to these", f"{result['ratio_to_distances']:.2f}")
    view.add_row("peak memory of the process (must be < 2 GB)", f"{result['peak_mib'] / 1024:.2f} GiB")
    view.add_row("  of which imports", f"{result['peak_mib_of_imports']:.0f} MiB")
    view.add_row("  growth over imports and inputs", f"{result['growth_mib']:.0f} MiB")
    view.add_row("  of which the result itself", f"{result['output_mib']:.0f} MiB")
    view.add_row(f"plain dense computation, {small}", f"{result['small_plain_seconds']:.2f} s")
    view.add_row(f"rerank, {small}", f"{result['small_seconds']:.2f} s")
    view.add_row("largest difference between the two", f"{result['small_difference']:.1e}")
    return view


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, default=Path("runs/benchmarks/reranking.json"), metavar="FILE")
    parser.add_argument("--threads", type=int, default=2, help="of PyTorch")
    options = parser.parse_args()
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        measured = pool.submit(measure, options.threads).result()
    result = {
        "size": [QUERIES, GALLERY],
        "columns": COLUMNS,
        "threads": options.threads,
        **measured,
        **compare(200, 1000),
        "versions": {"numpy": np.__version__, "scipy": scipy.__version__, "torch": str(torch.__version__)},
        "machine": platform.processor() or platform.machine(),
    }
    Console().print(table(result))
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
