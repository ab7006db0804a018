"""How long ranking and re-ranking of whole test sets take on a GPU."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from statistics import median
from typing import Any

import torch
from harness import alternating_seconds, ratio
from market import market_like
from torch import Tensor

from gpu_checks.sizes import DEVICE, Job, Sizes
from gpu_checks.speed import peak_gib
from sa_study.metrics.distances import rank_features
from sa_study.metrics.reranking import rerank_features

DRAWN_COLUMNS = 512
"""Wider features are noise, which is drawn on the device: times do not depend on the values."""


def jobs(sizes: Sizes) -> Iterator[Job]:
    for name, (size, columns, rounds) in sizes.test_sets.items():
        yield name, partial(measure, size, columns, rounds)


def measure(size: Mapping[str, int], columns: int, rounds: int) -> dict[str, Any]:
    """Seconds of ranking and of re-ranking, beside one product of the same features."""
    data = market_like(min(columns, DRAWN_COLUMNS), **size)
    query, gallery = data.on(DEVICE.type)
    if columns > DRAWN_COLUMNS:
        query, gallery = (noise(len(features), columns) for features in (query, gallery))
    product = torch.empty(len(query), len(gallery), device=DEVICE)

    def rank() -> None:
        rank_features(query, gallery, *data.labels)

    def rerank() -> None:
        rerank_features(query, gallery)

    memory = {"ranking, GiB": peak_gib(rank), "re-ranking, GiB": peak_gib(rerank)}
    taken = alternating_seconds(
        {"rank": rank, "product": lambda: torch.mm(query, gallery.T, out=product), "rerank": rerank}, rounds
    )
    return {
        "ranking, s": median(taken["rank"]),
        "product, s": median(taken["product"]),
        "to the product": ratio(taken["rank"], taken["product"]),
        "re-ranking, s": median(taken["rerank"]),
        **memory,
    }


def noise(count: int, columns: int) -> Tensor:
    return torch.randn(count, columns, device=DEVICE)
