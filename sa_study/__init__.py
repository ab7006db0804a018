"""Hyperparameter studies of the SA network for person re-identification.

The public names are imported on first use, so that `import sa_study` stays cheap.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sa_study.data.dataset import ReidDataset
    from sa_study.metrics.ranking import ranking_metrics
    from sa_study.metrics.reranking import rerank
    from sa_study.model.network import SANet
    from sa_study.model.weights import load_weights

__all__ = ["ReidDataset", "SANet", "load_weights", "ranking_metrics", "rerank"]

_HOMES = {
    "ReidDataset": "sa_study.data.dataset",
    "SANet": "sa_study.model.network",
    "load_weights": "sa_study.model.weights",
    "ranking_metrics": "sa_study.metrics.ranking",
    "rerank": "sa_study.metrics.reranking",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
