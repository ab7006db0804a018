"""Matching figures: CMC and average precision, feature distances, re-ranking."""

from __future__ import annotations

from sa_study.metrics.distances import rank_features, squared_euclidean_blocks
from sa_study.metrics.ranking import RankingAccumulator, RankingMetrics, ranking_metrics
from sa_study.metrics.reranking import rerank, rerank_features

__all__ = [
    "RankingAccumulator",
    "RankingMetrics",
    "rank_features",
    "ranking_metrics",
    "rerank",
    "rerank_features",
    "squared_euclidean_blocks",
]
