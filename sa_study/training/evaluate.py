"""The final evaluation: from weights to features to figures on the test set."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sa_study.data.dataset import ReidDataset
from sa_study.data.store import ImageStore, test_data
from sa_study.metrics import names
from sa_study.metrics.comparability import FEATURE_PRECISION
from sa_study.metrics.confidence import intervals
from sa_study.metrics.distances import rank_features
from sa_study.metrics.protocol import PROTOCOL, places_in_gallery
from sa_study.metrics.ranking import RankingMetrics, ranking_metrics
from sa_study.metrics.reranking import rerank_features
from sa_study.model.backbones import BACKBONES, TIMM
from sa_study.model.network import SANet
from sa_study.model.tensor_file import is_count, plain_values_fault
from sa_study.model.weights import LoadReport, infer_architecture, load_file, read_weights, require_fitting
from sa_study.settings.run import Settings, merged
from sa_study.training.features import extract_features_from_array
from sa_study.training.precision import feature_precision
from sa_study.training.trainer import build_network
from sa_study.utils.errors import WeightsError
from sa_study.utils.progress import PhaseCallback

PUBLISHED = {"val_identities": 0, "pretrained": "none"}
"""Settings assumed for a weights file that carries none, beside those that its shapes show."""


@dataclass(frozen=True)
class TrainedNetwork:
    """A network with its weights.

    Attributes:
        net: The network, on the CPU.
        settings: What it was trained with, or what its shapes and the defaults say.
        source: The weights file.
        epoch: The epoch that the weights are of, or None where the file does not say.
        loaded: What of the file was used.
    """

    net: SANet
    settings: Settings
    source: Path
    epoch: int | None
    loaded: LoadReport = field(default_factory=LoadReport)

    @property
    def notes(self) -> list[str]:
        """Notes on the file that a user should know, a line each."""
        found, unused = self.loaded.found, self.loaded.unused
        notes = [f"{self.source}: {found}"] if found else []
        return notes + ([f"not used of {self.source}: {', '.join(unused)}"] if unused else [])


@dataclass(frozen=True)
class EvaluationImages:
    """The images of the final evaluation.

    Attributes:
        root: Folder of the data set, or the list of its images.
        query: The queries.
        gallery: The gallery, distractors included, junk not.
        seconds: How long decoding took.
    """

    root: Path
    query: ImageStore
    gallery: ImageStore
    seconds: float

    @property
    def fingerprints(self) -> dict[str, str]:
        """Fingerprints of query and gallery, which identify the test set."""
        return {"query": self.query.fingerprint, "gallery": self.gallery.fingerprint}


def load_network(path: Path, overrides: Mapping[str, Any]) -> TrainedNetwork:
    """Builds the network that a weights file is of, a checkpoint of ours or the published file, and loads it.

    Settings to change are such as the attention that a published file was trained with.

    Raises:
        WeightsError: The file is no weights file.
        ConfigError: The overrides do not go with it.
    """
    file = read_weights(path)
    recorded = file.beside.get("settings")
    if isinstance(recorded, dict) and str(name := recorded.get("backbone")).startswith(TIMM):
        _ = BACKBONES[str(name)]  # takes it into the table, by which architectures are recognised
    try:
        found = infer_architecture(file.state)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from None
    num_classes = found.pop("num_classes")
    values, epoch = file.beside.get("settings", {**PUBLISHED, **found}), file.beside.get("epoch")
    if fault := plain_values_fault(values):
        raise WeightsError(f"{path}: its settings {fault}")
    if epoch is not None and not is_count(epoch):
        raise WeightsError(f"{path}: its epoch is no whole number")
    # The weights are in the file: no others are fetched, and the device they were trained on does not matter.
    values = {**merged(values, overrides), "device": overrides.get("device", "auto"), "pretrained": "none"}
    settings = Settings.from_mapping(values, str(path))
    with torch.device("meta"):  # without memory, of which a hostile file's settings may want any amount
        require_fitting(build_network(settings, num_classes), file, str(path))
    net = build_network(settings, num_classes)
    return TrainedNetwork(net, settings, path, epoch, load_file(net, file, str(path)))


def load_test_images(
    dataset: ReidDataset, settings: Settings, report: PhaseCallback = lambda *_: None
) -> EvaluationImages:
    """Decodes the query and gallery images; those that differ in size are brought to the settings'.

    Raises:
        DataError: An image cannot be read, or no query has a match.
    """
    dataset.require_matches()
    start = time.perf_counter()
    query, gallery = test_data(dataset, (settings.height, settings.width), partial(report, "decode"))
    return EvaluationImages(dataset.root, query, gallery, time.perf_counter() - start)


def evaluate(
    trained: TrainedNetwork,
    images: EvaluationImages,
    *,
    reranked: bool = False,
    report: PhaseCallback = lambda *_: None,
) -> dict[str, Any]:
    """Evaluates a network on query and gallery images.

    Args:
        trained: The network; it is moved to the settings' device.
        images: What `load_test_images` gives.
        reranked: Whether to compute the re-ranked figures too.
        report: Told how far it is.

    Returns:
        The content of `evaluation.json`; every rate is a fraction. `intervals` are 95 % intervals over the
        identities, `per_query` what `compare` needs: each query's scores, in the order of their file names.
    """
    settings, query, gallery = trained.settings, images.query, images.gallery
    seconds = {"decode": images.seconds}
    with _timed(seconds, "features"):
        query_features, gallery_features = query_and_gallery_features(trained, query, gallery, report)
    labels = query.pids, gallery.pids, query.camids, gallery.camids
    with _timed(seconds, "ranking"):
        plain = rank_features(query_features, gallery_features, *labels)
    again = None
    if reranked:
        report("re-ranking", 0, 1)
        with _timed(seconds, "reranking"):
            places = places_in_gallery(query.camids, gallery.camids)
            again = ranking_metrics(rerank_features(query_features, gallery_features, places=places), *labels)
        report("re-ranking", 1, 1)
    return {
        **_figures(plain),
        "queries": len(query.images),
        "queries_without_match": plain.num_queries_without_match,
        "gallery": len(gallery.images),
        PROTOCOL: query.protocol,
        "reranked": _figures(again) if again else None,
        "checkpoint": str(trained.source),
        "checkpoint_epoch": trained.epoch,
        "settings": settings.to_dict(),
        FEATURE_PRECISION: feature_precision(settings, query_features.device),
        "seconds": seconds,
        "data": {"root": str(images.root), **images.fingerprints},
    }


def query_and_gallery_features(
    trained: TrainedNetwork, query: ImageStore, gallery: ImageStore, report: PhaseCallback
) -> tuple[Tensor, Tensor]:
    """The matching features of a network for queries and gallery, on the settings' device."""
    net, settings = trained.net, trained.settings
    queries = extract_features_from_array(
        net, settings, query.images, progress=partial(report, "query features")
    )
    return queries, extract_features_from_array(
        net, settings, gallery.images, progress=partial(report, "gallery features")
    )


def evaluation_file(path: Path, images: EvaluationImages, *, own: bool) -> Path:
    """Where figures on these images are kept: those on other data lie beside a study's own, never over them.

    Args:
        path: The file of the figures on the study's own test set, such as `evaluation.json`.
        images: The test images.
        own: Whether they are the study's own; others give a name such as `evaluation-1a2b3c4d.json`.
    """
    if own:
        return path
    name = hashlib.sha256("".join(images.fingerprints.values()).encode()).hexdigest()[:8]
    return path.with_name(f"{path.stem}-{name}{path.suffix}")


def summarise(evaluations: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Mean and standard deviation (n - 1; 0 for one run) of each figure over several evaluations."""
    freedom = 1 if len(evaluations) > 1 else 0
    summary = {}
    for name in names.TEST_FIGURES:
        column = np.array([evaluation[name] for evaluation in evaluations])
        summary[name] = {"mean": float(column.mean()), "std": float(column.std(ddof=freedom))}
    return summary


def _figures(metrics: RankingMetrics) -> dict[str, Any]:
    rates: dict[str, Any] = {name: float(getattr(metrics, name)) for name in names.TEST_FIGURES}
    return rates | {
        "intervals": intervals(metrics.queries),
        "cmc": [float(rate) for rate in metrics.cmc],
        "per_query": metrics.queries.to_dict(),
    }


@contextmanager
def _timed(seconds: dict[str, float], phase: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[phase] = time.perf_counter() - start
