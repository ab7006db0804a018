"""Growth with the size of the gallery: ranking from features, and re-ranking."""

from __future__ import annotations

import statistics
from typing import Any, NamedTuple

import harness
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sa_study.metrics.distances import rank_features
from sa_study.metrics.reranking import rerank

GALLERY = (2000, 4000, 8000, 16000)
QUERIES = 1000
COLUMNS = 256
PER_IDENTITY = 20
CAMERAS = 6
REPEATS = 3


class Part(NamedTuple):
    """Features of unit length and their labels."""

    features: Tensor
    pids: NDArray[np.int64]
    camids: NDArray[np.int64]


def gallery() -> list[dict[str, float]]:
    """Ranking and re-ranking of as many queries in larger and larger galleries."""
    return [harness.in_fresh_process(_gallery, count) for count in GALLERY]


def _gallery(count: int) -> dict[str, float]:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    query, found = _draw(count, device)
    few = Part(query.features[:100], query.pids[:100], query.camids[:100])
    _rank(few, found)  # warms up
    rerank(few.features, few.features)
    row: dict[str, float] = {"gallery": count}
    works: dict[str, Any] = {
        "ranking": lambda: _rank(query, found),
        "re-ranking": lambda: rerank(query.features, found.features),
    }
    for name, work in works.items():
        with harness.peak_memory() as held:
            work()
        row[f"{name}, s"] = statistics.median(harness.seconds(work) for _ in range(REPEATS))
        row[f"{name}, MiB"] = held["growth_mib"]
        if "gpu_mib" in held:
            row[f"{name}, MiB of the GPU"] = held["gpu_mib"]
    return row


def _rank(query: Part, found: Part) -> None:
    rank_features(query.features, found.features, query.pids, found.pids, query.camids, found.camids)


def _draw(count: int, device: str) -> tuple[Part, Part]:
    """A cluster an identity; every query's identity is in the gallery, by several cameras."""
    rng = np.random.default_rng(0)
    identities = count // PER_IDENTITY
    centres = rng.standard_normal((identities, COLUMNS), dtype=np.float32)

    def part(pids: NDArray[np.int64]) -> Part:
        features = centres[pids] + 1.5 * rng.standard_normal((len(pids), COLUMNS), dtype=np.float32)
        features /= np.linalg.norm(features, axis=1, keepdims=True)
        cameras = np.arange(len(pids)) // identities % CAMERAS
        return Part(torch.from_numpy(features).to(device), pids + 1, cameras)  # 0 is a distractor's

    return part(rng.integers(identities, size=QUERIES)), part(np.arange(count) % identities)
