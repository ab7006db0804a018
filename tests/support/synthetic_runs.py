"""Repeated runs with scores of known differences, without training anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sa_study.analysis.repeats.runs import Run
from sa_study.metrics import names
from sa_study.metrics.query_scores import QueryScores

IDENTITIES, QUERIES = 60, 3
DATA = {"query": "a" * 64, "gallery": "b" * 64}


def scores(mean: float, seed: int, fold: int = 1, spread: float = 0.05) -> QueryScores:
    """Average precisions around a mean; the identities of a fold are hard or easy for everyone alike."""
    hardness = np.random.default_rng(fold).normal(0, 0.1, IDENTITIES)
    rng = np.random.default_rng([round(1e6 * mean), seed, fold])
    pids = np.repeat(np.arange(IDENTITIES) + 1000 * fold, QUERIES)
    of_run = mean + rng.normal(0, 0.01)
    precision = np.clip(of_run + np.repeat(hardness, QUERIES) + rng.normal(0, spread, pids.size), 0.01, 1)
    return QueryScores(pids, precision, np.where(precision > 0.5, 1, 4))


def run(
    point: Mapping[str, Any],
    mean: float,
    seed: int,
    *,
    fold: int = 1,
    failure: str = "",
    rerank_gain: float = 0.0,
) -> Run:
    """Makes a run with a mean score; `rerank_gain` is what re-ranking adds."""
    if failure:
        return Run(seed, dict(point), seed, fold, {}, failure)
    plain = scores(mean, seed, fold)
    gain = rerank_gain + 0.002 * (plain.pids % 7 - 3)
    better = QueryScores(plain.pids, np.clip(plain.average_precision + gain, 0.01, 1), plain.first_match)
    figures = {name: float(plain.of(name).mean()) for name in ("mAP", "rank1")}
    return Run(seed, dict(point), seed, fold, figures, "", plain, better)


def evaluation(mean: float, seed: int = 0, /, **changes: Any) -> dict[str, Any]:
    """The content of an evaluation file, with the scores of single queries."""
    found = scores(mean, seed, fold=0)
    means = {name: float(found.of(name).mean()) for name in ("mAP", "rank1")}
    about = {"queries": 180, "queries_without_match": 0, "gallery": 30, "data": DATA, "settings": {}}
    more = {"reranked": None, "seconds": {"features": 1.0}, "per_query": found.to_dict()}
    return {**dict.fromkeys(names.TEST_FIGURES, mean), **means, **about, **more, **changes}
