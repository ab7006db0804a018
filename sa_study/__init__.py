"""Hyperparameter studies of the SA network for person re-identification.

The public names are imported on first use, so that `import sa_study` stays cheap.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from sa_study.version import VERSION

if TYPE_CHECKING:
    from sa_study.api import Study, load_study, tune
    from sa_study.data.dataset import ReidDataset
    from sa_study.metrics.ranking import ranking_metrics
    from sa_study.metrics.reranking import rerank
    from sa_study.model.network import SANet
    from sa_study.model.weights import load_weights
    from sa_study.training.extractor import FeatureExtractor
    from sa_study.utils.errors import StudyError

__version__ = VERSION

__all__ = [
    "FeatureExtractor",
    "ReidDataset",
    "SANet",
    "Study",
    "StudyError",
    "load_study",
    "load_weights",
    "ranking_metrics",
    "rerank",
    "tune",
]

_HOMES = {
    "FeatureExtractor": "sa_study.training.extractor",
    "ReidDataset": "sa_study.data.dataset",
    "SANet": "sa_study.model.network",
    "Study": "sa_study.api",
    "StudyError": "sa_study.utils.errors",
    "load_study": "sa_study.api",
    "load_weights": "sa_study.model.weights",
    "ranking_metrics": "sa_study.metrics.ranking",
    "rerank": "sa_study.metrics.reranking",
    "tune": "sa_study.api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
